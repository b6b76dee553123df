//! What services send when a flag was changed: LaunchDarkly's webhook, an event of Unleash, or our own
//! short form.
//!
//! They are told apart by what stands in them. Only what says who gets what counts: a new description or
//! tag begins nothing anew.

use crate::time::UnixNanos;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// Actions of LaunchDarkly that change nothing for those who evaluate the flag.
const SAYS_NOTHING: [&str; 9] = [
    "createFlagLink",
    "deleteFlagLink",
    "updateDescription",
    "updateFlagCustomProperties",
    "updateFlagLink",
    "updateMaintainer",
    "updateName",
    "updateTags",
    "updateTemporary",
];

/// Types of Unleash's events that concern a flag in every environment.
const EVERYWHERE: [&str; 7] = [
    "feature-archived",
    "feature-dependencies-removed",
    "feature-dependency-added",
    "feature-dependency-removed",
    "feature-potentially-stale-on",
    "feature-revived",
    "feature-variants-updated",
];

/// A flag that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) flag: String,
    /// `None`: in every one.
    pub(super) environment: Option<String>,
    /// `None`: the body does not say.
    pub(super) at: Option<UnixNanos>,
}

/// Whose body it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    LaunchDarkly,
    Unleash,
    Plain,
}

impl Sender {
    /// The word in the metric.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::LaunchDarkly => "launchdarkly",
            Self::Unleash => "unleash",
            Self::Plain => "plain",
        }
    }
}

/// `{"flag": ..., "environment": ..., "at": ...}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    flag: String,
    environment: String,
    at: Option<Timestamp>,
}

/// What counts of an event of Unleash.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unleash {
    #[serde(rename = "type")]
    kind: String,
    feature_name: Option<String>,
    environment: Option<String>,
    created_at: Option<Timestamp>,
}

/// What counts of a webhook of LaunchDarkly.
#[derive(Deserialize)]
struct LaunchDarkly {
    kind: String,
    /// Milliseconds.
    date: u64,
    #[serde(default)]
    accesses: Vec<Access>,
    #[serde(default)]
    target: Target,
}

#[derive(Deserialize)]
struct Access {
    action: String,
    resource: String,
}

#[derive(Default, Deserialize)]
struct Target {
    #[serde(default)]
    resources: Vec<String>,
}

/// Reads a body; an empty list is something that changes nothing for a flag.
pub(super) fn read(body: &[u8]) -> Result<(Sender, Vec<Told>), String> {
    let value: Value = serde_json::from_slice(body).map_err(|e| format!("the body is no JSON: {e}"))?;
    let has = |key: &str| value.get(key).is_some();
    let sender = if has("accesses") || has("titleVerb") {
        Sender::LaunchDarkly
    } else if has("type") {
        Sender::Unleash
    } else if has("flag") {
        Sender::Plain
    } else {
        return Err(
            "expected a webhook of LaunchDarkly, an event of Unleash, or {\"flag\": \"...\", \
                    \"environment\": \"...\", \"at\": \"2026-11-30T08:00:00Z\"}"
                .to_owned(),
        );
    };
    let told = match sender {
        Sender::LaunchDarkly => serde_json::from_value(value).map(|it| of_launchdarkly(&it)),
        Sender::Unleash => serde_json::from_value(value).map(of_unleash),
        Sender::Plain => serde_json::from_value(value).map(of_plain),
    };
    let told = told.map_err(|e| format!("the body is not as {} has it: {e}", sender.as_str()))?;
    Ok((sender, told))
}

fn of_plain(it: Plain) -> Vec<Told> {
    vec![Told {
        flag: it.flag,
        environment: Some(it.environment),
        at: it.at.map(nanos),
    }]
}

fn of_unleash(it: Unleash) -> Vec<Told> {
    let concerns_all = EVERYWHERE.contains(&it.kind.as_str());
    let Some(flag) = it
        .feature_name
        .filter(|_| it.environment.is_some() || concerns_all)
    else {
        return Vec::new();
    };
    vec![Told {
        flag,
        environment: it.environment,
        at: it.created_at.map(nanos),
    }]
}

fn of_launchdarkly(it: &LaunchDarkly) -> Vec<Told> {
    if it.kind != "flag" {
        return Vec::new();
    }
    let of_accesses = it
        .accesses
        .iter()
        .filter(|access| !SAYS_NOTHING.contains(&access.action.as_str()))
        .map(|access| &access.resource);
    let resources: Vec<&String> = if it.accesses.is_empty() {
        it.target.resources.iter().collect()
    } else {
        of_accesses.collect()
    };
    let at = Some(UnixNanos(it.date.saturating_mul(1_000_000)));
    let mut told: Vec<Told> = Vec::new();
    for (environment, flag) in resources.into_iter().filter_map(|it| resource(it)) {
        let environment = (environment != "*").then(|| environment.to_owned());
        let one = Told {
            flag: flag.to_owned(),
            environment,
            at,
        };
        if !told.contains(&one) {
            told.push(one);
        }
    }
    told
}

/// Environment and flag of `proj/default:env/production;critical:flag/new-checkout;checkout`.
fn resource(text: &str) -> Option<(&str, &str)> {
    let part = |kind: &str| {
        text.split(':').find_map(|part| {
            let name = part.strip_prefix(kind)?.strip_prefix('/')?;
            Some(name.split_once(';').map_or(name, |(name, _)| name))
        })
    };
    Some((part("env")?, part("flag")?))
}

fn nanos(at: Timestamp) -> UnixNanos {
    UnixNanos(u64::try_from(at.as_nanosecond()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(flag: &str, environment: Option<&str>, secs: u64) -> Told {
        Told {
            flag: flag.to_owned(),
            environment: environment.map(ToOwned::to_owned),
            at: Some(UnixNanos::from_secs(secs)),
        }
    }

    fn of(body: &str) -> (Sender, Vec<Told>) {
        read(body.as_bytes()).unwrap()
    }

    #[test]
    fn a_webhook_of_launchdarkly_names_flag_and_environment() {
        let body = |accesses: &str| {
            format!(
                r#"{{"_id":"1","_accountId":"2","date":1795300000000,"kind":"flag","name":"New checkout","titleVerb":
                "turned off the flag","accesses":[{accesses}],"target":{{"name":"x","resources":
                ["proj/default:env/production:flag/new-checkout"]}},"currentVersion":{{"on":false}}}}"#
            )
        };
        let access =
            |action: &str, resource: &str| format!(r#"{{"action":"{action}","resource":"{resource}"}}"#);
        let production = "proj/default:env/production;critical:flag/new-checkout;a,b";
        let on = access("updateOn", production);
        let want = told("new-checkout", Some("production"), 1_795_300_000);
        assert_eq!(of(&body(&on)), (Sender::LaunchDarkly, vec![want.clone()]));
        let twice = format!("{on},{}", access("updateRules", production));
        assert_eq!(of(&body(&twice)).1, std::slice::from_ref(&want), "once");
        assert_eq!(
            of(&body("")).1,
            [want],
            "of those that name no action, the target"
        );
        let name = access("updateName", production);
        assert_eq!(of(&body(&name)).1, []);
        let all = access("updateGlobalArchived", "proj/default:env/*:flag/f");
        assert_eq!(of(&body(&all)).1, [told("f", None, 1_795_300_000)]);
        let project = body(&on).replace(r#""kind":"flag""#, r#""kind":"project""#);
        assert_eq!(of(&project).1, []);
    }

    #[test]
    fn an_event_of_unleash_names_flag_and_environment() {
        let body = |kind: &str, environment: &str| {
            format!(
                r#"{{"id":7,"type":"{kind}","createdBy":"ann","createdAt":"2026-11-21T22:26:40.000Z","data":null,
                "preData":null,"tags":[],"featureName":"new-checkout","project":"default","environment":{environment}}}"#
            )
        };
        let off = of(&body("feature-environment-disabled", r#""production""#));
        let want = told("new-checkout", Some("production"), 1_795_300_000);
        assert_eq!(off, (Sender::Unleash, vec![want]));
        let archived = of(&body("feature-archived", "null")).1;
        assert_eq!(archived, [told("new-checkout", None, 1_795_300_000)]);
        assert_eq!(of(&body("feature-tagged", "null")).1, []);
    }

    #[test]
    fn our_own_form_is_short_and_mistakes_in_it_are_told() {
        let (sender, all) = of(r#"{"flag":"f","environment":"e","at":"2026-11-21T22:26:40Z"}"#);
        assert_eq!(
            (sender, all),
            (Sender::Plain, vec![told("f", Some("e"), 1_795_300_000)])
        );
        assert_eq!(of(r#"{"flag":"f","environment":"e"}"#).1[0].at, None);
        for (body, want) in [
            ("{", "no JSON"),
            ("[]", "expected a webhook of LaunchDarkly"),
            ("{}", "expected a webhook of LaunchDarkly"),
            (r#"{"flag":"f"}"#, "missing field `environment`"),
            (
                r#"{"flag":"f","environment":"e","when":1}"#,
                "unknown field `when`",
            ),
            (r#"{"flag":"f","environment":"e","at":"soon"}"#, "as plain has it"),
            (r#"{"accesses":[],"kind":"flag"}"#, "missing field `date`"),
        ] {
            let said = read(body.as_bytes()).unwrap_err();
            assert!(said.contains(want), "{body}: {said}");
        }
    }
}
