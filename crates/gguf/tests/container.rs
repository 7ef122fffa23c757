//! What a file says is what is read, without a copy of it.

mod raw;

use luthier_gguf::{TensorType, Value, ValueKind};
use raw::{Raw, text, u32s, u64s};

#[test]
fn every_kind_of_value_is_read() {
    let array = |kind: u32, values: &[Vec<u8>]| [u32s(&[kind]), u64s(&[values.len() as u64]), values.concat()].concat();
    let nested = array(9, &[array(4, &[u32s(&[7]), u32s(&[8])]), array(8, &[])]);
    let file = Raw::default()
        .entry("a.u8", 0, &[200])
        .entry("a.i8", 1, &[0xFE])
        .entry("a.u16", 2, &[1, 2])
        .entry("a.i16", 3, &[0xFF, 0xFF])
        .entry("a.u32", 4, &u32s(&[4_000_000_000]))
        .entry("a.i32", 5, &(-5i32).to_le_bytes())
        .entry("a.f32", 6, &1.5f32.to_le_bytes())
        .entry("a.true", 7, &[1])
        .entry("a.text", 8, &text("字"))
        .entry("a.nested", 9, &nested)
        .entry("a.texts", 9, &array(8, &[text("one"), text(""), text("二")]))
        .entry("a.u64", 10, &u64s(&[u64::MAX]))
        .entry("a.i64", 11, &(-6i64).to_le_bytes())
        .entry("a.f64", 12, &(-0.1f64).to_le_bytes())
        .open();
    let get = |key: &str| file.get(key).unwrap();
    assert_eq!(get("a.u8").as_u64(), Some(200));
    assert_eq!(get("a.i8"), Value::I8(-2));
    assert_eq!(get("a.u16").as_i64(), Some(513));
    assert_eq!(get("a.i16").as_u64(), None, "-1 is not one of the numbers from 0 on");
    assert_eq!(get("a.u32").as_f64(), Some(4e9));
    assert_eq!(get("a.i32").as_i64(), Some(-5));
    assert_eq!(get("a.f32").as_f64(), Some(1.5));
    assert_eq!(get("a.true").as_bool(), Some(true));
    assert_eq!(get("a.text").as_text(), Some("字"));
    assert_eq!(get("a.u64").as_u64(), Some(u64::MAX));
    assert_eq!(get("a.u64").as_i64(), None);
    assert_eq!(get("a.i64").as_f64(), Some(-6.0));
    assert_eq!(get("a.f64"), Value::F64(-0.1));
    let texts = get("a.texts");
    let texts: Vec<&[u8]> = texts.as_array().unwrap().texts().unwrap().collect();
    assert_eq!(texts, ["one".as_bytes(), b"", "二".as_bytes()]);
    let nested: Vec<Value> = get("a.nested").as_array().unwrap().values().collect();
    assert_eq!(nested[0], Value::from([7u32, 8].as_slice()));
    assert_eq!((nested[1].as_array().unwrap().kind(), nested[1].as_array().unwrap().len()), (ValueKind::Text, 0));
    assert_eq!(file.keys().take(3).collect::<Vec<_>>(), ["a.u8", "a.i8", "a.u16"], "keys come in the file's order");
    assert_eq!(file.get("a.none"), None);
}

#[test]
fn tensors_have_pytorch_s_shape_and_their_bytes() {
    let data: Vec<u8> = (0..=255).cycle().take(64 + 34 + 30 + 8).collect();
    let raw = Raw::default()
        .tensor("plain", &[4, 2], 0, 0)
        .tensor("blocks", &[32, 1, 1], 8, 64)
        .tensor("number", &[], 28, 128)
        .tensor("nothing", &[3, 0], 0, 0)
        .data(data.clone());
    for version in [2, 3] {
        let file = Raw { version, ..raw.clone() }.open();
        assert_eq!(file.version(), version);
        let plain = file.tensor("plain").unwrap();
        assert_eq!((plain.shape(), plain.kind(), plain.len()), ([2, 4].as_slice(), TensorType::F32, 8));
        assert_eq!(file.data(plain).as_slice(), &data[..32]);
        let blocks = file.tensor("blocks").unwrap();
        assert_eq!((blocks.shape(), blocks.kind()), ([1, 1, 32].as_slice(), TensorType::Q8_0));
        assert_eq!(file.data(blocks).as_slice(), &data[64..98]);
        let number = file.tensor("number").unwrap();
        assert_eq!((number.shape(), number.len()), ([].as_slice(), 1));
        assert_eq!(file.data(number).as_slice(), &data[128..]);
        assert!(file.tensor("nothing").unwrap().is_empty());
        assert!(file.data(file.tensor("nothing").unwrap()).as_slice().is_empty());
        assert!(file.tensor("none").is_none());
        let names: Vec<&str> = file.tensors().map(|(name, _)| name).collect();
        assert_eq!(names, ["plain", "blocks", "number", "nothing"]);
    }
}

#[test]
fn the_file_says_how_tensors_are_aligned() {
    let data: Vec<u8> = (0..20).collect();
    let file = Raw::default().alignment(16).tensor("a", &[1], 0, 0).tensor("b", &[1], 0, 16).data(data.clone()).open();
    assert_eq!(file.data(file.tensor("a").unwrap()).as_slice(), &data[..4]);
    assert_eq!(file.data(file.tensor("b").unwrap()).as_slice(), &data[16..]);
}
