use super::*;
use crate::act::tests::decision;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

const NOW: UnixNanos = UnixNanos::from_secs(1_795_300_000);
const FILE: &str = r#"{
    "$schema": "https://flagd.dev/schema/v0/flags.json",
    "flags": {
        "new-checkout": {
            "state": "ENABLED",
            "variants": { "on": true, "off": false },
            "defaultVariant": "on"
        },
        "innocent": {
            "state":   "ENABLED",
            "variants": { "b": 2.50, "a": 1 },
            "defaultVariant": "b",
            "targeting": { "if": [ true, "a" ] }
        }
    }
}
"#;

fn to(flag: &str, state: SafeState) -> Decision {
    let mut d = decision(flag);
    d.action = Action::Switch { to: state };
    d
}

fn serve(variant: &str) -> SafeState {
    SafeState::Serve {
        variant: variant.into(),
    }
}

fn target(flag: &str, action: SafeState, variants: Option<&[&str]>) -> RuleTarget {
    let variants = variants.map(|it| it.iter().map(|v| Arc::from(*v)).collect());
    RuleTarget {
        service: "checkout".to_owned(),
        exporter: "flagd".to_owned(),
        environment: "production".to_owned(),
        flag: flag.to_owned(),
        action,
        variants,
        first_percent: None,
    }
}

fn at(path: &Path) -> Flagd {
    Flagd::new(&FlagdExporter::new("flagd", path)).unwrap()
}

fn file_in(folder: &Path) -> PathBuf {
    let path = folder.join("flags.json");
    fs::write(&path, FILE).unwrap();
    path
}

fn permanent<T: std::fmt::Debug>(outcome: Result<T, Trouble>) -> (FailureReason, String) {
    match outcome {
        Err(Trouble::Permanent { reason, detail }) => (reason, detail),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_value_of_one_flag_changes_and_not_a_byte_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flags.json");
    for (state, from, into) in [
        (SafeState::Off, "\"ENABLED\"", "\"DISABLED\""),
        (
            serve("off"),
            "\"defaultVariant\": \"on\"",
            "\"defaultVariant\": \"off\"",
        ),
    ] {
        fs::write(&path, FILE).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let (flagd, d) = (at(&path), to("new-checkout", state));
        let read = flagd.read_back(&d, NOW).await.unwrap().unwrap();
        assert_eq!(read.state, FlagState::Exposed);
        flagd.carry_out(&d, read.version.as_deref(), NOW).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), FILE.replacen(from, into, 1));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        let after = flagd.read_back(&d, NOW).await.unwrap().unwrap();
        assert_eq!(after.state, FlagState::Safe);
        // So already: the file that is there stays, with its time.
        let before = path.metadata().unwrap().modified().unwrap();
        flagd.carry_out(&d, after.version.as_deref(), NOW).await.unwrap();
        assert_eq!(path.metadata().unwrap().modified().unwrap(), before);
    }
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "nothing is left behind");
}

#[tokio::test]
async fn what_somebody_else_has_written_meanwhile_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = file_in(folder.path());
    let (flagd, d) = (at(&path), to("new-checkout", SafeState::Off));
    let read = flagd.read_back(&d, NOW).await.unwrap().unwrap();
    let theirs = FILE.replace("2.50", "3");
    fs::write(&path, &theirs).unwrap();
    let late = flagd.carry_out(&d, read.version.as_deref(), NOW).await;
    assert_eq!(late, Err(changed()));
    assert_eq!(fs::read_to_string(&path).unwrap(), theirs);
    // Written after it was read for the write itself: the comparison right before the rename.
    let new = FILE.replace("ENABLED", "DISABLED");
    assert_eq!(file::replace(&path, FILE, &new), Err(changed()));
    assert_eq!(fs::read_to_string(&path).unwrap(), theirs);
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "nothing is left behind");
    flagd.carry_out(&d, None, NOW).await.unwrap();
    let both = theirs.replacen("\"ENABLED\"", "\"DISABLED\"", 1);
    assert_eq!(fs::read_to_string(&path).unwrap(), both);
}

#[tokio::test]
async fn the_links_of_a_mounted_config_map_stay() {
    let folder = tempfile::tempdir().unwrap();
    let mount = folder.path();
    fs::create_dir(mount.join("..2026_11_30")).unwrap();
    fs::write(mount.join("..2026_11_30/flags.json"), FILE).unwrap();
    symlink("..2026_11_30", mount.join("..data")).unwrap();
    symlink("..data/flags.json", mount.join("flags.json")).unwrap();
    let (flagd, d) = (at(&mount.join("flags.json")), to("new-checkout", SafeState::Off));
    flagd.carry_out(&d, None, NOW).await.unwrap();
    for link in ["..data", "flags.json"] {
        assert!(
            mount.join(link).symlink_metadata().unwrap().is_symlink(),
            "{link}"
        );
    }
    let real = fs::read_to_string(mount.join("..2026_11_30/flags.json")).unwrap();
    assert!(real.contains("DISABLED"));
    // The next update of the ConfigMap brings the flag back, and that is read as it is.
    fs::create_dir(mount.join("..2026_12_01")).unwrap();
    fs::write(mount.join("..2026_12_01/flags.json"), FILE).unwrap();
    symlink("..2026_12_01", mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    let read = flagd.read_back(&d, NOW).await.unwrap().unwrap();
    assert_eq!(read.state, FlagState::Exposed);
}

#[tokio::test]
async fn who_reads_meanwhile_sees_the_one_file_or_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = file_in(folder.path());
    let flagd = at(&path);
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (path, is_over) = (path.clone(), Arc::clone(&is_over));
        move || {
            let mut seen = std::collections::BTreeSet::new();
            while !is_over.load(std::sync::atomic::Ordering::SeqCst) {
                let text = fs::read_to_string(&path).unwrap();
                assert!(serde_json::from_str::<Value>(&text).is_ok(), "half a file");
                seen.insert(text.contains("DISABLED"));
            }
            seen.len()
        }
    });
    for _ in 0..100 {
        for state in [SafeState::Off, SafeState::On] {
            flagd
                .carry_out(&to("new-checkout", state), None, NOW)
                .await
                .unwrap();
        }
    }
    is_over.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(reader.join().unwrap() >= 1);
    assert_eq!(fs::read_to_string(&path).unwrap(), FILE);
}

#[tokio::test]
async fn what_cannot_be_done_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = file_in(folder.path());
    let flagd = at(&path);
    let off = |flag: &str| to(flag, SafeState::Off);
    let cases = [
        (
            off("nope"),
            FailureReason::NotFound,
            "the file has no flag `nope`",
        ),
        (
            to("new-checkout", serve("blue")),
            FailureReason::Rejected,
            "the flag has no variant `blue`; it has on, off",
        ),
        (
            to("innocent", serve("a")),
            FailureReason::Rejected,
            "the flag has targeting rules, which would go on choosing; use the action off",
        ),
    ];
    for (d, reason, words) in cases {
        assert_eq!(
            permanent(flagd.carry_out(&d, None, NOW).await),
            (reason, words.to_owned())
        );
        let Action::Switch { to } = d.action else { panic!() };
        let target = target(&d.flag, to, None);
        assert_eq!(
            permanent(flagd.preflight(&target, NOW).await).1,
            words,
            "a dry run says it before"
        );
    }
    fs::write(&path, "{").unwrap();
    let (reason, words) = permanent(flagd.carry_out(&off("new-checkout"), None, NOW).await);
    assert_eq!(reason, FailureReason::Rejected);
    assert!(words.starts_with("the file is no JSON"), "{words}");
    fs::write(&path, [0x22, 0xff, 0x22]).unwrap();
    let (_, words) = permanent(flagd.read_back(&off("new-checkout"), NOW).await);
    assert!(words.contains("UTF-8"), "{words}");
    fs::write(&path, " ".repeat((16 << 20) + 1)).unwrap();
    let (_, words) = permanent(flagd.read_back(&off("new-checkout"), NOW).await);
    assert_eq!(words, "the file is larger than 16 MiB");
    let gone = at(&folder.path().join("gone.json"));
    let (reason, _) = permanent(gone.read_back(&off("new-checkout"), NOW).await);
    assert_eq!(reason, FailureReason::NotFound);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_found_before_it_is_needed() {
    // Where nobody may make a file, not even root.
    let target = target("new-checkout", SafeState::Off, None);
    let folder = tempfile::tempdir().unwrap();
    let path = file_in(folder.path());
    assert_eq!(at(&path).preflight(&target, NOW).await, Ok(Vec::new()));
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        FILE,
        "a dry run writes nothing"
    );
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let outcome = at(&path).preflight(&target, NOW).await;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // Root writes everywhere; then the kernel's own files, which nobody can have neighbours of, stand in.
    let outcome = match outcome {
        Ok(_) => file::probe(Path::new("/proc/version")).map(|()| Vec::new()),
        refused => refused,
    };
    let (reason, words) = permanent(outcome);
    assert!(
        matches!(reason, FailureReason::Forbidden | FailureReason::NotFound),
        "{reason:?}: {words}"
    );
}

#[tokio::test]
async fn an_action_that_would_help_nobody_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = file_in(folder.path());
    let flagd = at(&path);
    let in_vain = vec![FlagWarning::OffServesBlamed];
    let rows = [
        (SafeState::Off, None, vec![]),
        (SafeState::Off, Some(&["off"][..]), in_vain.clone()),
        (serve("off"), Some(&["on"][..]), vec![]),
        (serve("off"), Some(&["off", "on"][..]), in_vain),
        (serve("on"), None, vec![]),
    ];
    for (action, variants, want) in rows {
        let target = target("new-checkout", action, variants);
        assert_eq!(flagd.preflight(&target, NOW).await, Ok(want), "{target:?}");
    }
}
