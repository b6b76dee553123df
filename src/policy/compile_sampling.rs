//! `sampling:` of a policy.

use super::Slo;
use super::compile::Findings;
use super::raw::RawSampling;
use crate::budget::Threshold;
use crate::pipeline::Signal;
use crate::sli::DeclaredSampling;
use serde_saphyr::Spanned;

/// Smallest share, in parts per billion: 1 in 65,536, the largest weight that sums stay exact with.
const SHARE_MIN_PPB: u64 = 15_259;
const BILLION: u64 = 1_000_000_000;

/// Compiles it; `None` when something is wrong, which `findings` then says.
pub(super) fn sampling(raw: &Spanned<RawSampling>, findings: &mut Findings) -> Option<DeclaredSampling> {
    let at = raw.referenced;
    let mut share = |text: &str| {
        let ppb = share_ppb(text);
        if ppb.is_none() {
            let message = format!(
                "sampling of \"{text}\": must be a share above 0.0016 % and up to 100 %, such as 10%, or unknown"
            );
            findings.problem(at, message);
        }
        ppb
    };
    match &raw.value {
        RawSampling::One(text) if text.trim() == "unknown" => Some(DeclaredSampling::Unknown),
        RawSampling::One(text) => share(text).map(|ppb| DeclaredSampling::of_shares(ppb, ppb)),
        RawSampling::Two { good, bad } => {
            let (good, bad) = (share(good), share(bad));
            Some(DeclaredSampling::of_shares(good?, bad?))
        }
    }
}

/// A metric counts every event, also those whose spans a sampler dropped: weighed again it would be wrong.
pub(super) fn refuse_metrics(raw: &Spanned<RawSampling>, slo: &Slo, findings: &mut Findings) {
    if slo.sli.source.signal() == Some(Signal::Metrics) {
        let message = format!(
            "the SLO \"{}\" counts metrics, which no sampler of spans thins out: move it to another policy of \
             the same service, one without sampling",
            slo.name
        );
        findings.problem(raw.referenced, message);
    }
}

/// `10%` and `0.1` in parts per billion.
fn share_ppb(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, factor) = match text.strip_suffix('%') {
        Some(number) => (number.trim(), 10),
        None => (text, 1_000),
    };
    let millionths = number.parse::<Threshold>().ok()?.millionths();
    let ppb = millionths.checked_mul(factor)?;
    (SHARE_MIN_PPB..=BILLION).contains(&ppb).then_some(ppb)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shares_are_read_exactly() {
        assert_eq!(share_ppb("1%"), Some(10_000_000));
        assert_eq!(share_ppb("0.01"), Some(10_000_000));
        assert_eq!(share_ppb(" 12.5 %"), Some(125_000_000));
        assert_eq!(share_ppb("100%"), Some(BILLION));
        for wrong in ["0%", "0.001%", "101%", "-1%", "1.5", "ten", ""] {
            assert_eq!(share_ppb(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_share_panics(text in "\\PC{0,20}") {
            let _ = share_ppb(&text);
        }
    }
}
