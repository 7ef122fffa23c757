//! Rows that share a beginning give the losses and gradients of rows packed apart.

use luthier_engine::{Device, Grads};
use luthier_model::Model;
use luthier_train::{Batch, TrainingRow};

#[test]
fn a_shared_beginning_gives_the_gradients_of_a_repeated_one() {
    for name in ["qwen2-bias-tied", "llama-linear-rope-headdim"] {
        let mut model = Model::load(&luthier_fixtures::model(name), &Device::cpu()).unwrap();
        model.train_everything();
        let prefix: Vec<u32> = (0..37).map(|i| (i * 29 + 3) % 290).collect();
        let row = |tail: &[u32], answer: usize| {
            let tokens = [&prefix[..], tail].concat();
            let labelled = (0..tokens.len()).map(|i| i + answer >= tokens.len()).collect();
            TrainingRow { tokens, labelled }
        };
        // Answers that begin right behind the common part, inside it, and after more common tokens.
        let rows = [
            row(&[5, 6, 7], 3),
            row(&[8, 9], 12),
            row(&[5, 6, 7, 11, 12, 13, 14, 15, 16, 17, 18], 4),
            row(&[5, 6, 7, 11, 12, 13, 14, 15, 16, 17, 99], 2),
            TrainingRow { tokens: vec![1, 2, 3], labelled: vec![false, true, true] },
        ];
        let run = |batch: &Batch| {
            let mut grads = Grads::zeros(model.device(), &model.params);
            let loss = batch.backward(&model, 0.04, 0, &mut grads).unwrap();
            (loss, model.device().download(grads.flat()))
        };
        let (together, apart) = (Batch::pack(&rows), Batch::pack_apart(&rows));
        assert!(together.tokens.len() * 2 < apart.tokens.len(), "{} {}", together.tokens.len(), apart.tokens.len());
        assert_eq!(together.labels, apart.labels);
        let ((loss, ours), (plain_loss, plain)) = (run(&together), run(&apart));
        assert!((loss - plain_loss).abs() < 1e-6 * plain_loss, "{name}: {loss} {plain_loss}");
        let largest = plain.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        for (i, (a, b)) in ours.iter().zip(&plain).enumerate() {
            assert!((a - b).abs() <= 3e-6 * largest, "{name} gradient {i}: {a}, apart {b}");
        }
    }
}
