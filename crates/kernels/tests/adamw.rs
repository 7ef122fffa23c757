//! AdamW against `torch.optim.AdamW`: weights and moments after each of five steps (`tools/goldens/optimisation.py`).

use luthier_kernels::{AdamW, adamw};
use serde_json::Value;

fn floats(list: &Value) -> Vec<f32> {
    list.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

/// Two units in the last place: torch divides by the root of the correction, the kernel multiplies by its inverse.
#[track_caller]
fn assert_equal_to_rounding(what: &str, ours: &[f32], golden: &Value) {
    let golden = floats(golden);
    assert_eq!(ours.len(), golden.len(), "{what}");
    for (ours, golden) in ours.iter().zip(golden) {
        assert!((ours - golden).abs() <= 2.0 * f32::EPSILON * golden.abs(), "{what}: {ours}, golden {golden}");
    }
}

#[test]
fn adamw_takes_the_steps_that_torch_takes() {
    let golden: Value = serde_json::from_str(include_str!("../../../fixtures/optimisation.json")).unwrap();
    for case in golden["adamw"].as_array().unwrap() {
        let number = |name: &str| case[name].as_f64().unwrap();
        let mut w = floats(&case["initial"]);
        let (mut m, mut v) = (vec![0.0; w.len()], vec![0.0; w.len()]);
        for (step, expected) in (1..).zip(case["steps"].as_array().unwrap()) {
            let h = AdamW {
                lr: number("lr"),
                beta1: case["betas"][0].as_f64().unwrap(),
                beta2: case["betas"][1].as_f64().unwrap(),
                eps: number("eps"),
                weight_decay: number("weight_decay"),
                step,
                grad_scale: 1.0,
            };
            adamw(&mut w, &floats(&expected["gradient"]), &mut m, &mut v, &h);
            let what = |part: &str| format!("{part} after step {step}, decay {}", h.weight_decay);
            assert_equal_to_rounding(&what("the mean"), &m, &expected["exp_avg"]);
            assert_equal_to_rounding(&what("the mean of squares"), &v, &expected["exp_avg_sq"]);
            assert_equal_to_rounding(&what("the weight"), &w, &expected["parameter"]);
        }
    }
}
