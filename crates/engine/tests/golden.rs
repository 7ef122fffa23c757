//! Every op against torch: value, and gradient of each operand (`fixtures/ops.json`, `fixtures/family_ops.json`).

use std::sync::Arc;

use luthier_engine::{
    Activation, AttentionShape, Device, Grads, Head, Layout, Linear, LowRank, Norm, NormKind, Param, ParamId, Params,
    RopeTable, Segment, Tape, Tensor, Var,
};
use serde_json::Value;

/// One op's golden numbers.
struct Case {
    json: Value,
    device: Device,
}

impl Case {
    fn of(name: &str) -> Self {
        let fixtures = luthier_fixtures::repository().join("fixtures");
        let file = |file: &str| luthier_fixtures::json(&fixtures.join(file))[name].clone();
        let json = ["ops.json", "family_ops.json"].map(file).into_iter().find(|case| !case.is_null());
        Self { json: json.unwrap_or_else(|| panic!("no op {name}")), device: Device::cpu() }
    }

    fn numbers(&self, array: &str) -> Vec<f32> {
        let list = self.json[array].as_array().unwrap_or_else(|| panic!("no {array}"));
        list.iter().map(|x| x.as_f64().unwrap() as f32).collect()
    }

    fn number(&self, name: &str) -> f32 {
        self.json[name].as_f64().unwrap_or_else(|| panic!("no {name}")) as f32
    }

    fn count(&self, name: &str) -> usize {
        self.json[name].as_u64().unwrap_or_else(|| panic!("no {name}")) as usize
    }

    fn ids(&self, array: &str) -> Vec<u32> {
        luthier_fixtures::ids(&self.json[array])
    }

    /// The first axis as rows, the others as columns; a vector is one row.
    fn tensor(&self, array: &str) -> Tensor {
        let shape = self.json["shapes"][array].as_array().unwrap();
        let data = self.numbers(array);
        let rows = if shape.len() > 1 { shape[0].as_u64().unwrap() as usize } else { 1 };
        Tensor::from_slice(&self.device, rows, data.len() / rows, &data)
    }

    fn params(&self, names: &[&str]) -> Params {
        let mut params = Params::default();
        for name in names {
            let tensor = self.tensor(name);
            let shape = vec![tensor.rows(), tensor.cols()];
            params.push(Param { name: (*name).to_owned(), shape, tensor, trainable: true });
        }
        params
    }

    fn assert(&self, array: &str, ours: &[f32]) {
        let golden = self.numbers(array);
        assert_eq!(ours.len(), golden.len(), "{array}");
        let largest = golden.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        for (i, (a, b)) in ours.iter().zip(&golden).enumerate() {
            assert!((a - b).abs() <= 2e-6 * largest.max(1.0), "{array}[{i}]: {a}, golden {b}");
        }
    }

    /// Runs `op` on the named inputs and parameters and compares the value and every gradient.
    fn check(&self, inputs: &[&str], params: &[&str], op: impl Fn(&mut Tape<'_>, &[Var]) -> Var) {
        let params_of_op = self.params(params);
        let mut grads = Grads::zeros(&self.device, &params_of_op);
        let mut tape = Tape::training(&self.device, &params_of_op);
        let vars: Vec<Var> = inputs.iter().map(|name| tape.input(self.tensor(name))).collect();
        let y = op(&mut tape, &vars);
        self.assert("y", &y.tensor.to_vec());
        let dy = Tensor::from_slice(&self.device, y.tensor.rows(), y.tensor.cols(), &self.numbers("dy"));
        let wanted: Vec<&Var> = vars.iter().collect();
        let gradients = tape.backward_to(&y, dy, &mut grads, &wanted);
        for (name, gradient) in inputs.iter().zip(gradients) {
            self.assert(&format!("d{name}"), &gradient.expect("a gradient arrives").to_vec());
        }
        for name in params {
            let id = params_of_op.find(name).unwrap();
            let gradient = grads.view(&params_of_op, id).unwrap();
            self.assert(&format!("d{name}"), &self.device.download(gradient));
        }
    }
}

fn id(tape: &Tape<'_>, name: &str) -> ParamId {
    tape.params().find(name).unwrap()
}

#[test]
fn rms_norm_is_torchs() {
    let case = Case::of("rms_norm");
    let eps = case.json["eps"].as_f64().unwrap() as f32;
    case.check(&["x"], &["weight"], |tape, x| tape.norm(&x[0], &Norm::rms(id(tape, "weight"), eps)));
}

#[test]
fn rope_is_torchs_under_each_scaling() {
    for name in ["rope", "rope_linear", "rope_llama3"] {
        let case = Case::of(name);
        let table = RopeTable::new(&case.device, &case.ids("positions"), &case.numbers("inverse_frequencies"), 1.0);
        case.check(&["x"], &[], |tape, x| tape.rope(&x[0], &table, 2));
    }
}

#[test]
fn swiglu_is_torchs() {
    Case::of("swiglu").check(&["gate", "up"], &[], |tape, x| tape.gated(&x[0], &x[1], Activation::Silu));
}

#[test]
fn linear_with_bias_and_low_rank_term_is_torchs() {
    let case = Case::of("linear");
    let scale = case.json["scale"].as_f64().unwrap() as f32;
    case.check(&["x"], &["weight", "bias", "lora_a", "lora_b"], |tape, x| {
        let (a, b) = (id(tape, "lora_a"), id(tape, "lora_b"));
        let map = Linear {
            weight: id(tape, "weight"),
            bias: Some(id(tape, "bias")),
            low_rank: Some(LowRank { a, b, scale, dropout: 0.0, site: 0 }),
        };
        tape.linear(&x[0], &map)
    });
}

#[test]
fn embed_is_torchs() {
    let case = Case::of("embed");
    let tokens = case.ids("tokens");
    case.check(&[], &["table"], |tape, _| tape.embed(&tokens, id(tape, "table")));
}

#[test]
fn attention_is_torchs_for_packed_rows_and_for_a_prefix_that_rows_share() {
    for name in ["attention", "attention_shared_prefix"] {
        let case = Case::of(name);
        let list = case.json["segments"].as_array().unwrap();
        let rows = |segment: &Value| {
            let start = segment["start"].as_u64().unwrap() as usize;
            start..start + segment["length"].as_u64().unwrap() as usize
        };
        let segments = list.iter().map(|segment| {
            let parent = segment["parent"].as_u64().map(|parent| rows(&list[parent as usize]));
            Segment { queries: rows(segment), keys: parent.into_iter().chain([rows(segment)]).collect() }
        });
        let layout = Layout { positions: Vec::new(), segments: Arc::new(segments.collect()), text_lengths: None };
        let scale = case.json["scale"].as_f64().unwrap() as f32;
        let shape = AttentionShape { scale, ..AttentionShape::new(4, 2, 6) };
        case.check(&["q", "k", "v"], &[], |tape, x| tape.attention(&x[0], &x[1], &x[2], &shape, &layout));
    }
}

#[test]
fn cross_entropy_is_torchs() {
    // An identity head makes the logits the input; unlabelled rows are not gathered.
    let case = Case::of("cross_entropy");
    let labels: Vec<i64> = case.json["labels"].as_array().unwrap().iter().map(|l| l.as_i64().unwrap()).collect();
    let rows: Vec<u32> = (0..labels.len() as u32).filter(|&row| labels[row as usize] >= 0).collect();
    let labels: Vec<u32> = labels.into_iter().filter(|&label| label >= 0).map(|label| label as u32).collect();
    let (v, multiplier) = (9, case.json["logits_multiplier"].as_f64().unwrap() as f32);
    let identity: Vec<f32> = (0..v * v).map(|i| if i % (v + 1) == 0 { multiplier } else { 0.0 }).collect();
    let mut params = Params::default();
    let tensor = Tensor::from_slice(&case.device, v, v, &identity);
    let head = Head::new(params.push(Param { name: "head".into(), shape: vec![v, v], tensor, trainable: false }));
    let mut grads = Grads::zeros(&case.device, &params);
    let mut tape = Tape::training(&case.device, &params);
    let logits = tape.input(case.tensor("logits"));
    let wanted = tape.gather(&logits, &rows);
    let dy = case.numbers("dy")[0];
    let losses = tape.head_loss(&wanted, &head, &labels);
    case.assert("y", &[losses.iter().sum::<f32>() / labels.len() as f32]);
    // The gradient of the logits, through the tape from the loss on.
    let n = labels.len();
    let mut scaled = Tensor::empty(&case.device, n, v);
    case.device.copy(tape.logits(&wanted, &head, 0..n).view(), scaled.view_mut());
    case.device.cross_entropy(scaled.view_mut(), v, &labels, Some(dy / n as f32), None);
    case.device.scale(scaled.view_mut(), multiplier);
    let gradient = tape.backward_to(&wanted, scaled, &mut grads, &[&logits]).remove(0).unwrap();
    case.assert("dlogits", &gradient.to_vec());
}

#[test]
fn norms_of_other_families_are_torchs() {
    for (name, kind, params) in [
        ("layer_norm", NormKind::Layer, &["weight"][..]),
        ("layer_norm_bias", NormKind::Layer, &["weight", "bias"]),
        ("gemma_norm", NormKind::RmsPlusOne, &["weight"]),
        ("head_norm", NormKind::Rms, &["weight"]),
    ] {
        let case = Case::of(name);
        let heads = if name == "head_norm" { case.count("heads") } else { 1 };
        case.check(&["x"], params, |tape, x| {
            let (weight, bias) = (id(tape, "weight"), tape.params().find("bias"));
            tape.head_norm(&x[0], heads, &Norm { kind, weight, bias, eps: case.number("eps") })
        });
    }
}

#[test]
fn activations_are_those_of_transformers() {
    for (name, activation) in [
        ("gelu_new", Activation::GeluTanh),
        ("gelu_pytorch_tanh", Activation::GeluTanh),
        ("gelu", Activation::Gelu),
        ("relu", Activation::Relu),
        ("quick_gelu", Activation::QuickGelu),
    ] {
        let case = Case::of(name);
        case.check(&["x"], &[], |tape, x| {
            let x = tape.scale(&x[0], case.number("factor"));
            tape.activate(&x, activation)
        });
    }
    Case::of("gated_gelu_pytorch_tanh")
        .check(&["gate", "up"], &[], |tape, x| tape.gated(&x[0], &x[1], Activation::GeluTanh));
}

#[test]
fn a_rotation_of_a_part_of_each_head_is_torchs() {
    let case = Case::of("partial_rope");
    let table = RopeTable::new(&case.device, &case.ids("positions"), &case.numbers("inverse_frequencies"), 1.0);
    case.check(&["x"], &[], |tape, x| tape.rope(&x[0], &table, 2));
}

#[test]
fn queries_keys_and_values_of_one_map_are_split_as_in_gpt_neox() {
    let case = Case::of("split");
    case.check(&["x"], &[], |tape, x| {
        let parts = tape.split(&x[0], &[case.count("size"); 3], case.count("heads"));
        let (k, v) = (tape.scale(&parts[1], 2.0), tape.scale(&parts[2], -3.0));
        let sum = tape.add(&parts[0], &k);
        tape.add(&sum, &v)
    });
}

#[test]
fn attention_under_windows_caps_and_biases_is_torchs() {
    for name in ["attention_window", "attention_softcap", "attention_alibi", "attention_alibi_6_heads"] {
        let case = Case::of(name);
        let lengths: Vec<usize> = case.ids("lengths").into_iter().map(|length| length as usize).collect();
        let shape = AttentionShape {
            window: case.json["window"].as_u64().map(|window| window as usize),
            softcap: case.json["softcap"].as_f64().map(|cap| cap as f32),
            alibi: case.json["alibi"].as_bool().unwrap(),
            ..AttentionShape::new(case.count("heads"), case.count("kv_heads"), 6)
        };
        let layout = Layout::packed(&lengths);
        case.check(&["q", "k", "v"], &[], |tape, x| tape.attention(&x[0], &x[1], &x[2], &shape, &layout));
    }
}

#[test]
fn sparse_mixtures_of_experts_are_torchs() {
    for name in ["experts", "experts_renormalised"] {
        let case = Case::of(name);
        let renormalise = case.json["renormalise"].as_bool().unwrap();
        case.check(&["x"], &["router", "expert0", "expert1", "expert2", "expert3"], |tape, x| {
            let map = |tape: &Tape<'_>, name: &str| Linear { weight: id(tape, name), bias: None, low_rank: None };
            let router = map(tape, "router");
            let logits = tape.linear(&x[0], &router);
            let (routing, weights) = tape.route(&logits, case.count("chosen"), renormalise);
            let mut parts = Vec::new();
            for expert in routing.used() {
                let rows = tape.gather(&x[0], routing.rows(expert));
                let map = map(tape, &format!("expert{expert}"));
                parts.push((expert, tape.linear(&rows, &map)));
            }
            tape.mix(&parts, &routing, &weights, x[0].tensor.rows())
        });
    }
}

#[test]
fn the_loss_of_scaled_and_capped_logits_is_torchs() {
    let case = Case::of("head_loss");
    let params = case.params(&["weight"]);
    let weight = params.find("weight").unwrap();
    let head = Head { weight, scale: case.number("scale"), softcap: Some(case.number("softcap")) };
    let labels = case.ids("labels");
    let mut grads = Grads::zeros(&case.device, &params);
    let mut tape = Tape::training(&case.device, &params);
    let x = tape.input(case.tensor("x"));
    let dy = case.numbers("dy")[0];
    let losses = tape.backward_head_loss(&x, &head, &labels, dy, &mut grads);
    case.assert("y", &[losses.iter().sum()]);
    case.assert("dweight", &case.device.download(grads.view(&params, weight).unwrap()));
}
