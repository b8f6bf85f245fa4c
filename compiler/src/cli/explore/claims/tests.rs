use super::super::map::tests::{map, measured};
use super::*;

fn claims(full_conv_ms: f64) -> Vec<Claim> {
    let map = map();
    let whole = measured(1.0, 224, 4.0, Some(70.0));
    let full_conv = Measured { mult_adds: whole.mult_adds * 17 / 2, ..measured(1.0, 224, full_conv_ms, None) };
    judge(Evidence {
        map: &map,
        whole: &whole,
        narrow: &measured(0.75, 224, 2.2, None),
        full_conv: &full_conv,
        shallow: &Measured { mult_adds: measured(0.75, 224, 1.0, None).mult_adds, ..measured(1.0, 224, 2.0, None) },
    })
}

/// The verdicts of a claim, in order.
fn verdicts(claim: &Claim) -> Vec<Option<bool>> {
    claim.findings.iter().map(|finding| finding.confirmed).collect()
}

#[test]
fn eight_to_nine_times_is_judged_by_count_and_by_time() {
    assert_eq!(verdicts(&claims(34.0)[0]), [Some(true), Some(true), None, None]);
    assert_eq!(verdicts(&claims(40.0)[0]), [Some(true), Some(false), None, None]);
    assert_eq!(verdicts(&claims(20.0)[0]), [Some(true), Some(false), None, None]);
    // 36.2 / 4 is 9.05, which is 9.1 and not 9.
    assert_eq!(verdicts(&claims(36.3)[0])[1], Some(false));
}

#[test]
fn shares_are_of_counts_and_of_time() {
    let pointwise = &claims(34.0)[1];
    // The counts are those of the network; nine tenths of the time are not 95 %.
    assert_eq!(verdicts(pointwise), [Some(true), Some(true), Some(false), None]);
    assert!(pointwise.findings[2].text.starts_with("90.0 % of the time"), "{pointwise:?}");
}

#[test]
fn exponents_are_fitted() {
    let scaling = &claims(34.0)[2];
    // A factor of 4 for twice the width; of 2 for 1.4 times the side, which is a power of 2.06.
    assert!(scaling.findings[0].text.contains("alpha to the power of 2.00;"), "{scaling:?}");
    assert!(scaling.findings[1].text.contains("rho to the power of 2.06;"), "{scaling:?}");
    assert_eq!(verdicts(scaling), [Some(true), Some(true), None, Some(true), Some(false), Some(true)]);
}

#[test]
fn one_resolution_gives_no_law() {
    let mut map = map();
    map.members.retain(|member| member.member.height == 224);
    let whole = measured(1.0, 224, 4.0, None);
    let evidence = Evidence { map: &map, whole: &whole, narrow: &whole, full_conv: &whole, shallow: &whole };
    let scaling = &judge(evidence)[2];
    assert_eq!(verdicts(scaling)[0], None);
    assert!(scaling.findings[0].text.contains("one alpha or one resolution only"), "{scaling:?}");
}

#[test]
fn text_has_claims_and_verdicts() {
    let text = to_text(&claims(40.0));
    assert!(text.contains("\n1. A separable convolution costs 8 to 9 times less than a standard one\n"), "{text}");
    assert!(text.contains("\n   not confirmed: timed: 36.00 against 3.600 ms at the fastest, 10.0 times"), "{text}");
    assert!(text.contains("\n4. "), "{text}");
    let pictures: usize = claims(40.0).iter().map(|claim| claim.figures.len()).sum();
    assert_eq!(pictures, 4);
}
