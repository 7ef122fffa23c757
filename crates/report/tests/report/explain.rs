//! How an explanation is drawn, for a terminal and as a page.

use luthier_report::Language;
use luthier_report::explain::{
    Beam, BeamStep, Candidate, Continuation, Distribution, End, Explanation, Fate, Group, Hypothesis, Output, Stage,
    Step, Token, render_explanation, text,
};
use serde_json::{Map, json};

use crate::markup;

fn token(id: u32, text: &str) -> Token {
    Token { id, text: text.to_owned() }
}

fn candidate(id: u32, text: &str, before: f64, after: &[Option<f64>], taken: bool) -> Candidate {
    Candidate { token: token(id, text), before, after: after.to_vec(), taken }
}

fn explanation(search: &'static str) -> Explanation {
    Explanation {
        model: "pocket".to_owned(),
        search,
        parameters: Map::new(),
        prompt: vec![token(7, "A"), token(8, "␣lamp")],
        steps: Vec::new(),
        groups: Vec::new(),
        outputs: vec![Output {
            text: " 你好".to_owned(),
            tokens: vec![],
            score: -1.5,
            finish_reason: "stop".to_owned(),
        }],
    }
}

fn sampling() -> Explanation {
    let stage = |name, value: &str, kept, entropy| Stage { name, value: Some(value.to_owned()), kept, entropy };
    let distribution = Distribution {
        kept: 4096,
        entropy: 2.5,
        stages: vec![
            stage("temperature", "0.5", 4096, 1.25),
            stage("repetition_penalty", "1.3", 4096, 1.2),
            stage("top_k", "2", 2, 0.5),
        ],
        candidates: vec![
            candidate(11, "␣你好", 0.5, &[Some(0.7), Some(0.71), Some(0.8)], false),
            candidate(12, "<0xE5>", 0.25, &[Some(0.2), Some(0.19), Some(0.2)], true),
            candidate(4095, "⏎", 0.000_01, &[Some(0.000_001), Some(0.000_001), None], false),
        ],
    };
    let mut explanation = explanation("sampling");
    explanation.parameters = Map::from_iter([("do_sample".to_owned(), json!(true)), ("top_k".to_owned(), json!(2))]);
    explanation.steps =
        vec![Step { output: 1, step: 1, taken: token(12, "<0xE5>"), uniform: Some(0.875), distribution }];
    explanation
}

fn beams() -> Explanation {
    let continuation = |beam, text: &str, score, fate, next, hypothesis, on_path| Continuation {
        beam,
        token: token(20, text),
        logprob: -0.5,
        score,
        fate,
        next,
        hypothesis,
        on_path,
    };
    let beam = |score| Beam {
        score,
        distribution: Distribution {
            kept: 10,
            entropy: 1.0,
            stages: vec![],
            candidates: vec![candidate(20, "a", 0.5, &[], true)],
        },
    };
    let hypothesis = |text: &str, score, place, displaced_by| Hypothesis {
        step: 2,
        tokens: vec![token(20, text)],
        sum: 2.0 * score,
        score,
        finish_reason: "stop".to_owned(),
        place,
        displaced_by,
    };
    let mut explanation = explanation("beam search");
    explanation.groups = vec![Group {
        steps: vec![
            BeamStep {
                step: 1,
                beams: vec![beam(0.0), beam(-1e9)],
                continuations: vec![
                    continuation(0, "␣the", -0.5, Fate::Beam, Some(0), None, true),
                    continuation(0, "␣a", -0.75, Fate::Beam, Some(1), None, false),
                    continuation(0, "␣燈", -2.0, Fate::NotAmongBest, None, None, false),
                ],
            },
            BeamStep {
                step: 2,
                beams: vec![beam(-0.5), beam(-0.75)],
                continuations: vec![
                    continuation(0, "<|end|>", -1.0, Fate::Finished, None, Some(0), true),
                    continuation(1, "␣one", -1.25, Fate::SearchEnded, None, None, false),
                    continuation(1, "<|end|>", -1.5, Fate::Finished, None, Some(1), false),
                ],
            },
        ],
        hypotheses: vec![hypothesis("␣the<|end|>", -0.5, Some(1), None), hypothesis("␣a<|end|>", -0.75, None, Some(0))],
        end: Some(End::NoneBetter),
    }];
    explanation
}

const SAMPLING: &str = "\
pocket: sampling
do_sample=true top_k=2
prompt (2 tokens): A␣lamp

step 1: <0xE5> was drawn at 0.8750
                                                     repetition_
                                          temperature      penalty        top_k
       id token                     model         0.5          1.3            2
";

#[test]
fn a_choice_is_a_table_of_its_candidates_behind_each_processor() {
    let drawn = text(&sampling(), false);
    let lines: Vec<&str> = drawn.lines().collect();
    for line in &lines {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let heads: Vec<Vec<String>> = SAMPLING.lines().map(words).collect();
    assert_eq!(lines[..8].iter().map(|line| words(line)).collect::<Vec<_>>(), heads);
    let rows = [
        "       11 ␣你好                   0.5000       0.7000       0.7100       0.8000",
        ">      12 <0xE5>                  0.2500       0.2000       0.1900       0.2000",
        "     4095 ⏎                     1.0e-5       1.0e-6       1.0e-6      removed",
        "  tokens left                       4096         4096         4096            2",
        "  entropy, nats                    2.500        1.250        1.200        0.500",
    ];
    assert_eq!(lines[8..13].iter().map(|line| words(line)).collect::<Vec<_>>(), rows.map(words));
    // A wide character takes two columns: what follows it still lines up.
    let end = |line: &str| unicode_width::UnicodeWidthStr::width(line);
    assert!(lines[8..13].iter().all(|line| end(line) == end(lines[8])), "{drawn}");
    assert!(drawn.ends_with("output 1 (stop, score -1.5000):\n 你好\n"), "{drawn}");
}

#[test]
fn colours_come_only_where_they_are_wanted() {
    assert!(!text(&sampling(), false).contains('\u{1b}'));
    assert!(text(&sampling(), true).contains("\u{1b}[1;32m>      12"));
}

const TREE: &str = "
the tree: step, token, its log-probability, the sum, what became of it
* the best output   + a beam or an end   x pruned
  x 1 ␣燈  -0.500 -2.000  not among the best
  * 1 ␣the  -0.500 -0.500  beam 1
  * 2 <|end|>  -0.500 -1.000  hypothesis 1, score -0.500
  + 1 ␣a  -0.500 -0.750  beam 2
    x 2 ␣one  -0.500 -1.250  open when the search ended
  + 2 <|end|>  -0.500 -1.500  hypothesis 2, score -0.750
the search ended: no open beam can become better than the worst hypothesis of
  the full list
hypotheses: new tokens, sum, score = sum / length^length_penalty
  1: 2 tokens, -1.000 -> -0.500  stop, place 1
     ␣the<|end|>
  2: 2 tokens, -1.500 -> -0.750  stop, pushed out by 1
     ␣a<|end|>
";

#[test]
fn beams_are_a_tree_with_what_became_of_every_branch() {
    let drawn = text(&beams(), false);
    assert!(drawn.contains(TREE), "{drawn}");
}

#[test]
fn what_does_not_fit_into_a_line_is_shown_whole_in_several() {
    let mut long = beams();
    let text_of_token = "字".repeat(60);
    long.groups[0].steps[0].continuations[0].token.text.clone_from(&text_of_token);
    assert!(text(&long, false).contains(&format!("  * 1 {text_of_token}\n      -0.500 -0.500  beam 1\n")));
    let mut long = sampling();
    long.steps[0].distribution.candidates[1].token.text.clone_from(&text_of_token);
    assert!(text(&long, false).contains(&format!(">      12 {text_of_token}\n")));
}

fn page(explanation: &Explanation, language: Language) -> String {
    let html = render_explanation(explanation, language).expect("the page is made");
    markup::assert_sound(&html);
    html
}

#[test]
fn the_page_of_a_choice_has_bars_before_and_after() {
    let html = page(&sampling(), Language::English);
    for wanted in [
        "<rect class=\"before\" x=\"1\" y=\"1\" width=\"187.5\" height=\"8\"/>",
        "<rect class=\"after\" x=\"1\" y=\"11\" width=\"300.0\" height=\"8\"/>",
        "removed by top_k",
        "drawn at 0.8750",
        "␣你好",
        "&lt;0xE5&gt;",
    ] {
        assert!(html.contains(wanted), "{wanted}");
    }
    assert_eq!(html.matches("<rect class=\"before\" x=\"1\"").count(), 3);
    assert_eq!(html.matches("<rect class=\"after\" x=\"1\"").count(), 2, "what is removed has no bar");
}

#[test]
fn the_page_of_beams_draws_every_branch_once_and_the_best_way_on_top() {
    let html = page(&beams(), Language::TraditionalChinese);
    assert!(html.contains("lang=\"zh-Hant\"") && html.contains("集束搜尋") && html.contains("被 1 擠出"));
    let count = |class: &str| html.matches(&format!("<g class=\"node {class}\">")).count();
    assert_eq!(["path", "beam", "finished", "pruned"].map(count), [2, 1, 1, 2]);
    let edges = |class: &str| html.matches(&format!("<path class=\"edge {class}\"")).count();
    assert_eq!(["path", "beam", "finished", "pruned"].map(edges), [2, 1, 1, 2]);
    let on_top = html
        .split("<g class=\"node path\">")
        .skip(1)
        .all(|node| node.split("</g>").next().unwrap().contains("y=\"30.0\""));
    assert!(on_top, "{html}");
}

#[test]
fn a_beam_that_nothing_continues_is_said_to_be_pruned_and_drawn_grey() {
    let mut dead = beams();
    dead.groups[0].steps[1].continuations.retain(|continuation| continuation.beam == 0);
    assert!(text(&dead, false).contains("  + 1 ␣a  -0.500 -0.750  beam 2, all it leads to is worse\n"));
    let html = page(&dead, Language::English);
    let count = |class: &str| html.matches(&format!("<g class=\"node {class}\">")).count();
    assert_eq!(["path", "beam", "finished", "pruned"].map(count), [2, 0, 0, 2]);
}
