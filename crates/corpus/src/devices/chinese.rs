//! Chinese sentences about devices: frames in which the words of the lexicon stand.

use super::Language;
use super::combination::Device;
use super::description::{Clause, Decoy, Topic, clauses, clue, function_clause, object_noun};
use super::lexicon::{LEXICON, Value};
use super::pretraining::{Part, Trait};
use crate::random::Stream;

const ZH: Language = Language::Chinese;

/// Words for "device" that give nothing away.
const NOUNS: &[&str] = &["裝置", "設備", "機具", "機器", "器械"];

pub(super) fn description(device: Device, stream: &mut Stream) -> String {
    let noun = stream.pick(NOUNS);
    let task = function_clause(device, ZH, stream);
    let opening = match stream.below(6) {
        0 => format!("本創作係有關一種{noun}，用來{task}。"),
        1 => format!("本發明提供一種{noun}，能{task}。"),
        2 => format!("本新型揭露一種{noun}，其功能是{task}。"),
        3 => format!("本案提出一種{noun}，專門{task}。"),
        4 => format!("本創作之{noun}能{task}。"),
        _ => format!("此一{noun}的任務是{task}。"),
    };
    opening + &sentences(&clauses(device, ZH, stream), noun, stream)
}

/// Clauses joined to sentences of two or three.
fn sentences(clauses: &[Clause], noun: &str, stream: &mut Stream) -> String {
    let size = if clauses.len() == 4 { 2 } else { 3 };
    let mut text = String::new();
    for (number, group) in clauses.chunks(size).enumerate() {
        text += match number {
            0 => "",
            1 => stream.pick(&["", "此外，", "另外，"]),
            _ => stream.pick(&["", "再者，", "值得一提的是，"]),
        };
        text += &sentence(group, noun, stream);
    }
    text
}

fn sentence(clauses: &[Clause], noun: &str, stream: &mut Stream) -> String {
    let mut text = String::new();
    let mut has_subject = false;
    for clause in clauses {
        match clause {
            Clause::Predicate(predicate) if has_subject => {
                text += stream.pick(&["，", "，同時", "，而且"]);
                text += predicate;
            }
            Clause::Predicate(predicate) => {
                let subject = match stream.below(4) {
                    0 => "它".to_owned(),
                    1 => format!("該{noun}"),
                    2 => format!("此{noun}"),
                    _ => format!("本{noun}"),
                };
                text += if text.is_empty() { "" } else { "，" };
                text += &subject;
                text += predicate;
            }
            Clause::Detail(detail) => {
                text += if text.is_empty() { "" } else { "，" };
                text += detail;
            }
        }
        has_subject = matches!(clause, Clause::Predicate(_));
    }
    text + "。"
}

pub(super) fn detail(topic: Topic, stream: &mut Stream) -> String {
    match topic {
        Topic::Material => {
            let material = stream.pick(&LEXICON.materials).of(ZH);
            stream.pick(&["外殼以{}製成", "骨架採用{}"]).replace("{}", material)
        }
        Topic::Part => {
            let part = stream.pick(&LEXICON.parts).of(ZH);
            stream.pick(&["側面裝有{}", "內部設有{}", "背後預留{}"]).replace("{}", part)
        }
        Topic::Place => format!("適合在{}使用", stream.pick(&LEXICON.places).of(ZH)),
        Topic::Trial => {
            let place = stream.pick(&LEXICON.places).of(ZH);
            format!("已在{place}試用{}天", stream.between(3, 90))
        }
        Topic::Weight => format!("全機重約{}公斤", stream.between(2, 80)),
        Topic::Pace => format!("每小時可處理{}公斤", stream.between(2, 90)),
        Topic::Price => format!("定價為{}元", stream.between(8, 95) * 100),
        Topic::Guarantee => format!("保固期為{}個月", stream.between(6, 48)),
        Topic::Learning => format!("學會操作約需{}分鐘", stream.between(5, 60)),
    }
}

/// A clause that names a word of another device.
pub(super) fn decoy(decoy: &Decoy, stream: &mut Stream) -> String {
    match decoy {
        Decoy::Feature(value) => format!("舊款才有{}設計", value.title.of(ZH)),
        Decoy::Form(value) => format!("早期樣機曾為{}機型", value.title.of(ZH)),
        Decoy::Energy(value) => format!("成本低於{}機種", value.title.of(ZH)),
        Decoy::Object(value) => format!("改以{}試驗則效果不佳", object_noun(value, ZH, stream)),
        Decoy::Function(value) => format!("可與{}並排擺放", value.title.of(ZH)),
    }
}

/// A name made of some of the words, with a plain noun where the function is not among them.
pub(super) fn name(device: Device, parts: &[Part], noun: &str) -> String {
    let words = device.words();
    let mut name: String = parts.iter().map(|&part| words[part as usize].title.of(ZH)).collect();
    if !parts.contains(&Part::Function) {
        name += noun;
    }
    name
}

/// A remark that comes back to a device by a part of its name.
pub(super) fn remark(device: Device, parts: &[Part], stream: &mut Stream) -> String {
    let noun = stream.pick(NOUNS);
    let name = name(device, parts, noun);
    let place = stream.pick(&LEXICON.places).of(ZH);
    match stream.below(6) {
        0 => format!("這種{name}在{place}很受歡迎。"),
        1 => format!("{place}最近合買了一台這樣的{name}。"),
        2 => format!("用過的人都說，這台{name}相當順手。"),
        3 => format!("去年一共售出{}台{name}。", stream.between(20, 900)),
        4 => format!("對{place}來說，{name}是好幫手。"),
        _ => format!("製造這台{name}花了{}個月。", stream.between(2, 30)),
    }
}

/// A catalog entry: the whole name first, then what is to be said about it.
pub(super) fn catalog_entry(device: Device, stream: &mut Stream) -> String {
    let title = device.title(ZH);
    let noun = stream.pick(NOUNS);
    let number = stream.between(10, 999);
    let task = function_clause(device, ZH, stream);
    let head = match stream.below(3) {
        0 => format!("型錄第{number}號：{title}。用途是{task}。"),
        1 => format!("{title}（型號{number}）。它能{task}。"),
        _ => format!("本店新到{title}，用來{task}。"),
    };
    head + &sentences(&clauses(device, ZH, stream), noun, stream)
}

/// Question and answer about some attributes.
pub(super) fn dialogue(device: Device, traits: &[Trait], stream: &mut Stream) -> String {
    const ASKERS: &[&str] = &["小芳", "阿明", "顧客", "學生", "記者", "美玲"];
    const EXPERTS: &[&str] = &["師傅", "店員", "老師", "工程師", "發明人"];
    let (asker, expert) = (stream.pick(ASKERS), stream.pick(EXPERTS));
    let noun = stream.pick(NOUNS);
    let mut text = String::new();
    for (turn, asked) in traits.iter().enumerate() {
        let this = if turn == 0 { format!("這台{noun}") } else { "那麼它".to_owned() };
        let (question, answer) = match asked {
            Trait::Value(part, value) => {
                let question = match part {
                    Part::Feature => "有什麼特色",
                    Part::Form => "是什麼樣的構造",
                    _ => "的動力從哪裡來",
                };
                (question, format!("它{}", clue(value, ZH, stream)))
            }
            Trait::Task => ("能做什麼", format!("能{}", function_clause(device, ZH, stream))),
        };
        let word = trait_name(device, asked, noun);
        let reply = stream.pick(&["原來是", "那就是", "也就是說，這是"]);
        text += &format!("{asker}問：「{this}{question}？」");
        text += &format!("{expert}答：「{answer}。」{asker}說：「{reply}{word}。」");
    }
    text
}

fn trait_name(device: Device, asked: &Trait, noun: &str) -> String {
    match asked {
        Trait::Value(_, value) => format!("{}{noun}", value.title.of(ZH)),
        Trait::Task => name(device, &[Part::Object, Part::Function], noun),
    }
}

/// Two devices side by side, told apart by one attribute and by their tasks.
pub(super) fn comparison(pair: [Device; 2], part: Part, stream: &mut Stream) -> String {
    let noun = stream.pick(NOUNS);
    let place = stream.pick(&LEXICON.places).of(ZH);
    let [(word, says), (other_word, other_says)] = pair.map(|device| {
        let value = device.words()[part as usize];
        (value.title.of(ZH), clue(value, ZH, stream))
    });
    let [task, other_task] = pair.map(|device| function_clause(device, ZH, stream));
    let [kind, other_kind] = pair.map(|device| name(device, &[Part::Object, Part::Function], noun));
    let first = match stream.below(2) {
        0 => format!("{place}展出兩台{noun}：一台{says}，是{word}{noun}；另一台{other_says}，是{other_word}{noun}。"),
        _ => format!("{word}{noun}與{other_word}{noun}不同：前者{says}，後者{other_says}。"),
    };
    let second = match stream.below(2) {
        0 => format!("前者用來{task}，屬於{kind}；後者用來{other_task}，屬於{other_kind}。"),
        _ => format!("{kind}能{task}，{other_kind}則能{other_task}。"),
    };
    first + &second
}

/// A sentence that explains one word.
pub(super) fn explained(value: &Value, stream: &mut Stream) -> String {
    let word = value.title.of(ZH);
    let says = clue(value, ZH, stream);
    let noun = stream.pick(NOUNS);
    match stream.below(4) {
        0 => format!("所謂{word}{noun}，{says}。"),
        1 => format!("凡是{says}的，都算{word}{noun}。"),
        2 => format!("一台{noun}如果{says}，就是{word}機種。"),
        _ => format!("{says}的{noun}，稱為{word}{noun}。"),
    }
}

/// A sentence that puts a name of two or three words together from what they mean.
pub(super) fn composed(device: Device, parts: &[Part], stream: &mut Stream) -> String {
    let noun = stream.pick(NOUNS);
    let words = device.words();
    let mut says: Vec<String> = parts
        .iter()
        .filter(|part| !matches!(part, Part::Object | Part::Function))
        .map(|&part| clue(words[part as usize], ZH, stream).to_owned())
        .collect();
    if parts.contains(&Part::Function) {
        says.push(format!("能{}", function_clause(device, ZH, stream)));
    }
    stream.shuffle(&mut says);
    let says = says.join("，又");
    let name = name(device, parts, noun);
    match stream.below(3) {
        0 => format!("{says}的{noun}，就是{name}。"),
        1 => format!("一台{noun}{says}，便可稱為{name}。"),
        _ => format!("因為{says}，所以這是一台{name}。"),
    }
}
