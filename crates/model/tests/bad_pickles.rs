//! Pickles and archives that are wrong in one place: each gives one clear error that names the file, and nothing is done.

mod fixture;

use std::fs;
use std::path::Path;

use fixture::torch::{Pickled, Zip, file, int, pickle, pickled_dict, text, zip};
use fixture::{assert_says, bits};
use luthier_model::weights::Tensors;

const GOOD: Pickled<'_> =
    Pickled { class: "FloatStorage", key: "0", count: 6, offset: 0, shape: &[2, 3], strides: &[3, 1] };

const NUMBERS: [f32; 6] = [1.0, -2.0, 3.5, 4.25, -5.0, 6.0];

fn storage() -> Vec<u8> {
    NUMBERS.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// The numbers of the tensor "w".
fn numbers_of(file: &[u8]) -> Vec<f32> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("good.pth");
    fs::write(&path, file).unwrap();
    Tensors::of_file(&path).unwrap().read_any("w").unwrap().1
}

fn open(bytes: &[u8]) -> Result<Tensors, luthier_model::ModelError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.bin");
    fs::write(&path, bytes).unwrap();
    let tensors = Tensors::of_file(&path)?;
    for name in tensors.names() {
        tensors.read_any(name)?;
    }
    Ok(tensors)
}

#[track_caller]
fn refused(bytes: &[u8], wanted: &[&str]) {
    assert_says(&open(bytes).expect_err("the file is bad"), &[&["bad.bin"], wanted].concat());
}

/// A file whose pickle is these opcodes.
#[track_caller]
fn pickle_refused(opcodes: &[u8], wanted: &[&str]) {
    refused(&file(&pickle(opcodes), &[("0", &storage())]), wanted);
}

#[track_caller]
fn tensor_refused(tensor: &Pickled<'_>, wanted: &[&str]) {
    let bytes = file(&pickled_dict(&[("w", tensor.opcodes())]), &[("0", &storage())]);
    refused(&bytes, &[&["tensor \"w\""], wanted].concat());
}

#[test]
fn a_file_put_together_by_hand_is_read() {
    let pickle = pickled_dict(&[("w", GOOD.opcodes())]);
    let storage = storage();
    let parts = [("x/version", &b"3\n"[..]), ("y/data/0", &b"no"[..])];
    let files = [("x/data.pkl", &pickle[..]), ("x/data/0", &storage[..]), parts[0], parts[1]];
    for kind in [Zip::Plain, Zip::Large] {
        assert_eq!(bits(&numbers_of(&zip(&files, kind))), bits(&NUMBERS));
    }
    // A comment behind the archive, as zip allows.
    let mut archive = zip(&files, Zip::Plain);
    let length = archive.len();
    archive[length - 2..].copy_from_slice(&7u16.to_le_bytes());
    archive.extend_from_slice(b"comment");
    assert_eq!(bits(&numbers_of(&archive)), bits(&NUMBERS));
}

#[test]
fn whatever_a_pickle_calls_beyond_tensors_is_refused_by_name() {
    let nothing = "nothing of the kind";
    for (opcodes, name) in [
        (&b"cos\nsystem\n(X\x04\x00\x00\x00truetR"[..], "os.system"),
        (b"cos\nsystem\nX\x04\x00\x00\x00true\x85R", "os.system"),
        (b"X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93)R", "os.system"),
        (b"cbuiltins\neval\n)R", "builtins.eval"),
        (b"csubprocess\nPopen\n)\x81", "subprocess.Popen"),
        (b"csubprocess\nPopen\n)}\x92", "subprocess.Popen"),
        (b"(csubprocess\nPopen\no", "subprocess.Popen"),
        (b"(ios\nsystem\n", "os.system"),
        (b"ctorch.storage\n_load_from_bytes\n)R", "torch.storage._load_from_bytes"),
        (b"ctorch._utils\n_rebuild_sparse_tensor\n)R", "torch._utils._rebuild_sparse_tensor"),
        (b"cnumpy.core.multiarray\n_reconstruct\n)R", "numpy.core.multiarray._reconstruct"),
        (b"cargparse\nNamespace\n}b", "argparse.Namespace"),
    ] {
        pickle_refused(opcodes, &["refused", &format!("calls {name};"), nothing, "opcode at byte"]);
    }
    // A name alone does nothing.
    let pickle = pickled_dict(&[("w", GOOD.opcodes()), ("bad", b"cos\nsystem\n".to_vec())]);
    open(&file(&pickle, &[("0", &storage())])).unwrap();
}

#[test]
fn a_pickle_that_makes_no_sense_is_refused() {
    let deep = b"(".repeat(1 << 20);
    let high = b"N".repeat(1 << 17);
    for (opcodes, wanted) in [
        (&b""[..], "takes more values than there are"),
        (b"0", "takes more values"),
        (b"(NR", "takes more values"),
        (b"}(", "takes more values"),
        (b"N(a", "takes more values"),
        (b"t", "takes more values"),
        (b"NNs", "takes more values"),
        (b"NNNs", "no dict"),
        (b"}(Nu", "an item without a value"),
        (b"]Na", "no dict of tensors"),
        (b"}Na", "no list"),
        (b"N)R", "no function"),
        (b"N)\x81", "no class"),
        (b"ctorch\nSize\nNR", "arguments that it does not take"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n)R", "_rebuild_tensor_v2 with arguments"),
        (b"ctorch._utils\n_rebuild_parameter\nN\x85R", "_rebuild_parameter with arguments"),
        (b"ccollections\nOrderedDict\n]Na\x85R", "OrderedDict with arguments"),
        (b"Nb", "takes more values"),
        (b"NNb", "state of something that has none"),
        (b"h\x05", "never kept"),
        (b"g5x\n", "no number"),
        (b"I5x\n", "a number that is none"),
        (b"S5x\n", "without quotes"),
        (b"S'\\x41'\n", "escapes"),
        (b"NN\x93", "without a name"),
        (b"P1\n", "by text"),
        (b"NQ", "no storage"),
        (b"(X\x07\x00\x00\x00storagetQ", "no storage"),
        (b"\x80\x06", "protocol 6"),
        (b"\x82\x01", "opcode 0x82"),
        (b"\xff", "opcode 0xff"),
        (b"X\xff\xff\xff\xffabc", "truncated"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc", "truncated"),
        (b"\x8b\xff\xff\xff\xffabc", "truncated"),
        (b"c\xff\n\n", "damaged near byte"),
        (b"N", "no dict of tensors"),
        (b"}X\x01\x00\x00\x00aNs", "no dict of tensors"),
        (&deep, "grows far beyond the file"),
        (&high, "more values at once"),
    ] {
        pickle_refused(opcodes, &[wanted]);
    }
    let endless = [b"c", &b"a".repeat(5000)[..]].concat();
    pickle_refused(&endless, &["damaged near byte"]);
    // A dict inside itself.
    let name = text("model");
    pickle_refused(&[b"}q\x00", &name[..], b"h\x00s"].concat(), &["no dict of tensors"]);
    let twice = pickled_dict(&[("w", GOOD.opcodes()), ("w", GOOD.opcodes())]);
    refused(&file(&twice, &[("0", &storage())]), &["tensor \"w\" twice"]);
}

#[test]
fn a_tensor_that_is_not_in_its_storage_is_refused_by_name() {
    let beyond = ["beyond its storage \"0\""];
    tensor_refused(&Pickled { offset: 1, ..GOOD }, &beyond);
    tensor_refused(&Pickled { offset: i64::MAX, ..GOOD }, &beyond);
    tensor_refused(&Pickled { shape: &[2, 4], ..GOOD }, &beyond);
    tensor_refused(&Pickled { strides: &[4, 1], ..GOOD }, &beyond);
    tensor_refused(&Pickled { strides: &[i64::MAX, i64::MAX], ..GOOD }, &beyond);
    tensor_refused(&Pickled { shape: &[1 << 40, 1 << 40], ..GOOD }, &beyond);
    tensor_refused(&Pickled { shape: &[1 << 40, 1 << 40], strides: &[0, 0], ..GOOD }, &beyond);
    tensor_refused(&Pickled { shape: &[1 << 40], strides: &[0], ..GOOD }, &["repeats its numbers"]);
    tensor_refused(&Pickled { count: 7, ..GOOD }, &["storage \"0\"", "shorter than its pickle says"]);
    tensor_refused(&Pickled { count: i64::MAX, ..GOOD }, &["storage \"0\"", "shorter than its pickle says"]);
    tensor_refused(&Pickled { class: "DoubleStorage", ..GOOD }, &["shorter than its pickle says"]);
    tensor_refused(&Pickled { key: "5", ..GOOD }, &["storage \"5\"", "not in the file"]);
    tensor_refused(&Pickled { key: "../data.pkl", ..GOOD }, &["not in the file"]);
    let opcodes = |tensor: Pickled<'_>, wanted: &[&str]| pickle_refused(&tensor.opcodes(), wanted);
    opcodes(Pickled { class: "QInt8Storage", ..GOOD }, &["torch.QInt8Storage", "not known"]);
    opcodes(Pickled { count: -1, ..GOOD }, &["no storage"]);
    opcodes(Pickled { offset: -1, ..GOOD }, &["_rebuild_tensor_v2 with arguments"]);
    opcodes(Pickled { shape: &[-2, 3], ..GOOD }, &["_rebuild_tensor_v2 with arguments"]);
    opcodes(Pickled { strides: &[3], ..GOOD }, &["_rebuild_tensor_v2 with arguments"]);
    opcodes(Pickled { shape: &[1; 65], strides: &[1; 65], ..GOOD }, &["_rebuild_tensor_v2 with arguments"]);
}

#[test]
fn numbers_of_torch_that_are_not_finite_are_refused_by_name() {
    let pickle = pickled_dict(&[("w", Pickled { strides: &[1, 2], ..GOOD }.opcodes())]);
    for bad in [f32::NAN, f32::INFINITY] {
        let mut storage = storage();
        storage[8..12].copy_from_slice(&bad.to_le_bytes());
        refused(&file(&pickle, &[("0", &storage)]), &["tensor \"w\"", "NaN or infinite"]);
    }
    // f64 holds numbers that f32 cannot.
    let pickle = pickled_dict(&[(
        "w",
        Pickled { class: "DoubleStorage", count: 1, shape: &[1], strides: &[1], ..GOOD }.opcodes(),
    )]);
    refused(&file(&pickle, &[("0", &1e300f64.to_le_bytes())]), &["tensor \"w\"", "NaN or infinite"]);
}

#[test]
fn a_bad_archive_is_refused() {
    let pickle = pickled_dict(&[("w", GOOD.opcodes())]);
    let storage = storage();
    let good = [("x/data.pkl", &pickle[..]), ("x/data/0", &storage[..])];
    let whole = zip(&good, Zip::Plain);
    open(&whole).unwrap();
    let find = |mark: &[u8], nth: usize| {
        let places = (0..whole.len()).filter(|&at| whole[at..].starts_with(mark));
        places.into_iter().nth(nth).unwrap()
    };
    let with = |at: usize, bytes: &[u8], wanted: &[&str]| {
        let mut damaged = whole.clone();
        damaged[at..at + bytes.len()].copy_from_slice(bytes);
        refused(&damaged, wanted);
    };
    let (header, entry, end) = (find(b"PK\x03\x04", 1), find(b"PK\x01\x02", 1), find(b"PK\x05\x06", 0));
    with(entry, b"QK", &["zip directory is damaged"]);
    with(entry + 10, &[8], &["\"data/0\"", "compressed"]);
    with(entry + 8, &[1], &["\"data/0\"", "encrypted"]);
    with(entry + 20, &[1, 0], &["\"data/0\"", "compressed"]);
    with(entry + 24, &[0xFF; 4], &["zip directory is damaged"]);
    with(entry + 28, &[0xFF; 2], &["zip directory is damaged"]);
    with(entry + 42, &[0xF0, 0xFF, 0xFF, 0x7F], &["\"data/0\"", "damaged"]);
    with(entry + 42, &[1], &["\"data/0\"", "damaged"]);
    with(header, b"QK", &["\"data/0\"", "damaged"]);
    with(header + 28, &[0xFF; 2], &["\"data/0\"", "damaged"]);
    with(end + 12, &[0xFF; 4], &["zip directory is damaged"]);
    with(end + 16, &[0xFF; 4], &["zip directory is damaged"]);
    with(end + 20, &[9, 0], &["truncated", "directory"]);
    let large = zip(&good, Zip::Large);
    let locator = (0..large.len()).find(|&at| large[at..].starts_with(b"PK\x06\x07")).unwrap();
    for place in [0u64, 5, locator as u64, u64::MAX] {
        let mut damaged = large.clone();
        damaged[locator + 8..locator + 16].copy_from_slice(&place.to_le_bytes());
        refused(&damaged, &["zip directory is damaged"]);
    }
    let archive = |files: &[(&str, &[u8])], wanted: &[&str]| refused(&zip(files, Zip::Plain), wanted);
    archive(&[("x/other.pkl", &pickle[..])], &["without data.pkl"]);
    archive(&[("data.pkl", &pickle[..])], &["without data.pkl"]);
    archive(&[], &["no file that torch.save wrote"]);
    archive(&[good[0], good[1], good[1]], &["lists \"x/data/0\" twice"]);
    archive(&[good[0], good[1], ("x/byteorder", &b"big"[..])], &["big end first"]);
    archive(&[good[0], ("x/data/0", &storage[..20])], &["tensor \"w\"", "shorter"]);
    archive(&[("x/data.pkl", &pickle[..40]), good[1]], &["truncated", "pickle ends"]);
}

/// A file of the old container.
fn legacy(parts: [&[u8]; 5], storages: &[(u64, &[u8])]) -> Vec<u8> {
    let mut file = parts.concat();
    for (count, bytes) in storages {
        file.extend(count.to_le_bytes());
        file.extend_from_slice(bytes);
    }
    file
}

#[test]
fn a_bad_file_of_the_old_container_is_refused() {
    let magic = pickle(b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19");
    let version = pickle(&int(1001));
    let machine = pickle(b"}X\x0d\x00\x00\x00little_endian\x88s");
    let big = pickle(b"}X\x0d\x00\x00\x00little_endian\x89s");
    let part = |part: &[u8]| {
        let opcodes = GOOD.opcodes();
        let end = opcodes.windows(2).position(|two| two == b"tQ").unwrap();
        [&opcodes[..end], part, &opcodes[end..]].concat()
    };
    let object = pickled_dict(&[("w", part(b"N"))]);
    let list = |keys: &[&str]| {
        let keys: Vec<u8> = keys.iter().flat_map(|key| text(key)).collect();
        pickle(&[b"](", &keys[..], b"e"].concat())
    };
    let keys = list(&["0"]);
    let storage: &[u8] = &storage();
    let good = legacy([&magic, &version, &machine, &object, &keys], &[(6, storage)]);
    assert_eq!(bits(&numbers_of(&good)), bits(&NUMBERS));
    let bad = |parts: [&[u8]; 5], storages: &[(u64, &[u8])], wanted: &[&str]| refused(&legacy(parts, storages), wanted);
    bad([&pickle(&int(5)), &version, &machine, &object, &keys], &[], &["is a pickle, but none that torch.save wrote"]);
    bad([&object, &version, &machine, &object, &keys], &[], &["is a pickle, but none that torch.save wrote"]);
    bad([&magic, &pickle(&int(1002)), &machine, &object, &keys], &[], &["a version"]);
    bad([&magic, &version, &big, &object, &keys], &[(6, storage)], &["big end first"]);
    bad([&magic, &version, &machine, &object, &list(&["1"])], &[(6, storage)], &["storage \"1\" that no tensor has"]);
    bad([&magic, &version, &machine, &object, &list(&[])], &[], &["tensor \"w\"", "storage \"0\"", "not in the file"]);
    bad([&magic, &version, &machine, &object, &list(&["0", "0"])], &[(6, storage); 2], &["\"0\" twice"]);
    bad([&magic, &version, &machine, &object, &keys], &[(5, storage)], &["5 numbers where its pickle says 6"]);
    bad([&magic, &version, &machine, &object, &keys], &[(u64::MAX, storage)], &["numbers where its pickle says 6"]);
    bad([&magic, &version, &machine, &object, &keys], &[(6, &storage[..23])], &["tensor \"w\"", "truncated"]);
    bad([&magic, &version, &machine, &object, &pickle(b"N")], &[], &["damaged near byte"]);
    // A storage that is a part of another: two numbers behind the third.
    let viewed = |start, count, shape: &[i64]| {
        let metadata = [b"(", &text("1")[..], &int(start), &int(count), b"t"].concat();
        let opcodes = Pickled { shape, strides: &[1], ..GOOD }.opcodes();
        let end = opcodes.windows(2).position(|two| two == b"tQ").unwrap();
        pickled_dict(&[("w", [&opcodes[..end], &metadata, &opcodes[end..]].concat())])
    };
    let file = legacy([&magic, &version, &machine, &viewed(3, 2, &[2]), &keys], &[(6, storage)]);
    assert_eq!(bits(&numbers_of(&file)), bits(&NUMBERS[3..5]));
    let beyond = viewed(3, 2, &[3]);
    bad([&magic, &version, &machine, &beyond, &keys], &[(6, storage)], &["tensor \"w\"", "beyond its storage"]);
    for (start, count) in [(5, 2), (i64::MAX, i64::MAX), (-1, 2)] {
        let outside = viewed(start, count, &[1]);
        bad([&magic, &version, &machine, &outside, &keys], &[(6, storage)], &["no storage"]);
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Tensors::of_file(Path::new("/no/such/file.bin")).unwrap_err();
    assert_says(&error, &["cannot read", "/no/such/file.bin"]);
}
