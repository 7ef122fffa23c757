//! What is written is read again, and nothing half-written is left behind.

use std::fs;
use std::path::Path;

use luthier_gguf::{Array, Gguf, GgufError, TensorType, Value, ValueKind, Vocabulary, Writer};

fn numbers(count: u16) -> Vec<f32> {
    (0..count).map(|number| f32::from(number) / 16.0 - 3.0).collect()
}

/// A file with a tensor of each type that can be written, and metadata of each kind.
fn writer() -> Writer {
    let mut writer = Writer::new();
    let nested =
        Array::of_values(ValueKind::Array, [Value::from([1u64, 2].as_slice()), Array::of_texts(["字"]).into()]);
    let entries: [(&str, Value); 10] = [
        ("general.architecture", "llama".into()),
        ("z.u8", 7u8.into()),
        ("a.i64", (-7i64).into()),
        ("a.f32", 0.1f32.into()),
        ("a.bool", true.into()),
        ("a.empty", "".into()),
        ("a.texts", Array::of_texts(["one", "", "二"]).into()),
        ("a.bools", [true, false].as_slice().into()),
        ("a.nested", nested.into()),
        ("a.nothing", Array::of_values(ValueKind::F32, []).into()),
    ];
    for (key, value) in entries {
        writer.metadata(key, value).unwrap();
    }
    writer.tensor("f32", TensorType::F32, &[3, 5]).unwrap();
    writer.tensor("f16", TensorType::F16, &[7]).unwrap();
    writer.tensor("bf16", TensorType::BF16, &[2, 1, 2]).unwrap();
    writer.tensor("q8_0", TensorType::Q8_0, &[3, 64]).unwrap();
    writer.tensor("raw", TensorType::Q4_K, &[256]).unwrap();
    writer
}

fn write(path: &Path) -> Result<(), GgufError> {
    writer().write(path, |name, sink| {
        if name == "raw" {
            return sink.bytes(&[9; 100]).and_then(|()| sink.bytes(&[8; 44]));
        }
        let count = sink.shape().iter().product::<usize>();
        // In pieces of whole blocks.
        numbers(count as u16).chunks(64).try_for_each(|piece| sink.numbers(piece))
    })
}

#[test]
fn what_is_written_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/model.gguf");
    write(&path).unwrap();
    let file = Gguf::open(&path).unwrap();
    let keys: Vec<&str> = file.keys().collect();
    assert_eq!(keys[..3], ["general.architecture", "z.u8", "a.i64"], "metadata comes in the order it was given in");
    assert_eq!(file.get("a.f32"), Some(Value::F32(0.1)));
    assert_eq!(file.get("a.empty").unwrap().as_text(), Some(""));
    assert_eq!(file.get("a.bools"), Some([true, false].as_slice().into()));
    let nested: Vec<Value> = file.get("a.nested").unwrap().as_array().unwrap().values().collect();
    assert_eq!(nested, [[1u64, 2].as_slice().into(), Array::of_texts(["字"]).into()]);
    assert!(file.get("a.nothing").unwrap().as_array().unwrap().is_empty());
    let tensor = |name: &str| (file.tensor(name).unwrap(), file.data(file.tensor(name).unwrap()));
    let (f32s, data) = tensor("f32");
    assert_eq!((f32s.shape(), f32s.kind()), ([3, 5].as_slice(), TensorType::F32));
    assert_eq!(data.as_numbers().unwrap().as_slice(), numbers(15), "tensors are aligned");
    assert_eq!(tensor("bf16").0.shape(), [2, 1, 2]);
    assert_eq!(tensor("q8_0").1.as_slice().len(), 6 * 34);
    assert_eq!(tensor("raw").1.as_slice(), [[9; 100].as_slice(), &[8; 44]].concat());
    for (name, tensor) in file.tensors() {
        assert!(tensor.byte_range().start.is_multiple_of(32), "{name}");
    }
    assert!(fs::metadata(&path).unwrap().len().is_multiple_of(32), "the last tensor is padded too");
}

#[test]
fn a_file_can_be_aligned_otherwise_and_hold_nothing_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let mut writer = Writer::new();
    writer.metadata("general.alignment", 128u32).unwrap();
    writer.tensor("a", TensorType::F32, &[]).unwrap();
    writer.tensor("b", TensorType::F32, &[1]).unwrap();
    writer.write(&path, |_, sink| sink.numbers(&[2.5])).unwrap();
    let file = Gguf::open(&path).unwrap();
    assert!(file.tensors().all(|(_, tensor)| tensor.byte_range().start.is_multiple_of(128)));
    Writer::new().write::<GgufError>(&path, |_, _| unreachable!("there are no tensors")).unwrap();
    assert_eq!(Gguf::open(&path).unwrap().tensors().count(), 0);
    assert_eq!(fs::metadata(&path).unwrap().len(), 24);
}

#[test]
fn a_tensor_that_is_not_filled_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, "old").unwrap();
    let mut writer = Writer::new();
    writer.tensor("a", TensorType::F32, &[2, 2]).unwrap();
    for (count, given) in [(3, 12), (5, 20), (0, 0)] {
        let error =
            writer.write::<GgufError>(&path, |_, sink| sink.numbers(&vec![0.0; count])).unwrap_err().to_string();
        let due = format!("as F32 of shape [2, 2] it has 16 bytes, and was given {given}");
        assert!(error.contains("cannot write \"a\"") && error.contains(&due), "{error}");
    }
    let error = writer.write::<GgufError>(&path, |_, sink| sink.numbers(&[f32::NAN; 4])).unwrap_err().to_string();
    assert!(error.contains("NaN"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_error_of_the_caller_s_own_comes_back_as_it_is() {
    #[derive(Debug)]
    enum Own {
        Mine,
        Gguf,
    }
    impl From<GgufError> for Own {
        fn from(_: GgufError) -> Self {
            Self::Gguf
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let mut writer = Writer::new();
    writer.tensor("a", TensorType::F32, &[1]).unwrap();
    assert!(matches!(writer.write(&path, |_, _| Err(Own::Mine)), Err(Own::Mine)));
    assert!(matches!(writer.write(&path, |_, _| Ok::<_, Own>(())), Err(Own::Gguf)));
}

#[test]
fn what_llama_cpp_could_not_read_is_refused_before_it_is_written() {
    let mut writer = Writer::new();
    let error = |refused: Result<(), GgufError>| refused.unwrap_err().to_string();
    writer.metadata("a", 1u32).unwrap();
    assert!(error(writer.metadata("a", 2u32)).contains("there is metadata of that key already"));
    assert!(error(writer.metadata("general.alignment", 24u32)).contains("must be a power of two"));
    assert!(error(writer.metadata("general.alignment", 32u64)).contains("of type u32"));
    writer.tensor("t", TensorType::F32, &[1]).unwrap();
    assert!(error(writer.tensor("t", TensorType::F32, &[1])).contains("a tensor of that name already"));
    let long = "x".repeat(64);
    assert!(error(writer.tensor(&long, TensorType::F32, &[1])).contains("at most 63"));
    assert!(error(writer.tensor("u", TensorType::F32, &[1; 5])).contains("has 5 dimensions"));
    assert!(error(writer.tensor("u", TensorType::Q8_0, &[32, 33])).contains("rows have 33 numbers"));
    assert!(error(writer.tensor("u", TensorType::F32, &[usize::MAX, 2])).contains("can be counted"));
    assert!(error(writer.tensor("u", TensorType::F32, &[usize::MAX])).contains("can be counted"));
}

#[test]
fn a_vocabulary_is_written_and_read_again() {
    let vocabulary = Vocabulary {
        model: "llama".to_owned(),
        pre: Some("default".to_owned()),
        tokens: vec!["<unk>".to_owned(), "▁a".to_owned(), "<0x0A>".to_owned()],
        scores: vec![0.0, -1.5, -1e-3],
        merges: vec!["▁ a".to_owned()],
        bos: Some(1),
        unk: Some(0),
        add_bos: Some(false),
        add_space_prefix: Some(true),
        chat_template: Some("{{ messages }}".to_owned()),
        named_chat_templates: vec![("tool".to_owned(), "{{ tools }}".to_owned())],
        ..Vocabulary::default()
    }
    .filled_up_to(5);
    assert_eq!(vocabulary.tokens[3..], ["[PAD3]", "[PAD4]"]);
    assert_eq!((vocabulary.scores.len(), vocabulary.token_types.len()), (5, 5));
    let mut writer = Writer::new();
    for (key, value) in vocabulary.metadata() {
        writer.metadata(&key, value).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vocabulary.gguf");
    writer.write::<GgufError>(&path, |_, _| unreachable!("there are no tensors")).unwrap();
    assert_eq!(Vocabulary::of(&Gguf::open(&path).unwrap()).unwrap(), vocabulary);
}
