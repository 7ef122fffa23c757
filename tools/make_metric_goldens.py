#!/usr/bin/env python3
"""Writes fixtures/metrics/golden.json: what sacreBLEU 2.4.3 and rouge_score 0.1.2 say about the sentences below.

    python3 -m venv VENV && VENV/bin/pip install sacrebleu==2.4.3 rouge_score==0.1.2
    VENV/bin/python tools/make_metric_goldens.py            # the committed fixture
    VENV/bin/python tools/make_metric_goldens.py --random 5000 --out FILE   # a larger one, to test the tests

All sentences were written for this file. Never needed to build or to test.
"""

import argparse
import collections
import json
import pathlib
import random

import numpy
import sacrebleu
from rouge_score import rouge_scorer
from sacrebleu.metrics import BLEU, CHRF

# (group, prediction, reference)
PAIRS = [
    ("zh", "一種可折疊的雨傘", "可摺疊雨傘"),
    ("zh", "防水手電筒及其製造方法", "防水手電筒"),
    ("zh", "具有自動收線功能的吸塵器。", "具自動收線功能之吸塵器。"),
    ("zh", "本發明提供一種散熱裝置，包含底座、風扇與導熱管。", "本創作係關於一種散熱裝置，其包括底座、導熱管及風扇。"),
    ("zh", "他說：「明天會下雨，記得帶傘！」", "他說：『明天會下雨；記得帶傘。』"),
    ("zh", "臺北市的夜市裡，小販們大聲叫賣著各式各樣的點心……", "台北的夜市裏，攤販大聲叫賣各種小吃──熱鬧非凡。"),
    ("zh", "這句話的意思是什麼？", "這句話是什麼意思？"),
    ("zh", "帝乃命其兄往視之。", "皇帝於是派他的哥哥前去探望。"),
    ("zh", "山中何所有　嶺上多白雲", "山中何所有，嶺上多白雲。"),
    ("zh", "（一）先關閉電源，（二）再拆下外殼。", "（1）先關電源；（2）再拆外殼。"),
    ("zh", "溫度為２５℃，濕度為６０％。", "溫度為25℃，濕度為60%。"),
    ("zh", "傘", "雨傘"),
    ("zh", "雨傘", "雨傘"),
    ("zh", "一種利用太陽能的自動澆水器", "一種利用太陽能的自動澆水器"),
    ("zh", "人人人人人人人人", "人人為我，我為人人"),
    ("zh", "翻譯成現代文：", "於是他把燈點亮，拂拭床席來迎接她。"),
    ("en", "A foldable umbrella with a waterproof cover.", "A folding umbrella with a water-proof cover."),
    ("en", "The cat sat on the mat.", "The cat sat on the mat."),
    ("en", "THE CAT SAT ON THE MAT", "the cat sat on the mat."),
    ("en", "It costs $1,234.50, or about 1.2 million in total.", "It costs $1,234.50 or roughly 1,200,000 in total."),
    ("en", "Dr. Lin's state-of-the-art device (patent no. 5-738-2) won.", "Dr. Lin's device, patent no. 5-738-2, won!"),
    ("en", "He said &quot;A &amp; B &lt; C&quot; &gt; D", "He said \"A & B < C\" > D"),
    ("en", "Twice escaped: &amp;lt;b&amp;gt; and &nbsp;", "Twice escaped: <b> and &nbsp;"),
    ("en", "a <skipped>missing word", "a missing word"),
    ("en", "a hyphen-\nated line\nand another", "a hyphenated line and another"),
    ("en", "(hi) \"there\" [you]... what?! end.", "(hi) \"there\" [you] what? end."),
    ("en", "Values: .5, 5., 1..2, ,3 and 4,,5.", "Values: 0.5, 5, 1.2, 3 and 4.5."),
    ("en", "1990-2000 is 10-fold; a-1-b 2--3", "1990-2000 is tenfold; a-1-b 2-3"),
    ("en", "path/to/file_name.txt @user #tag 50% {x} ~y^z`", "path/to/file.txt @user #tag 50 % {x} ~y"),
    ("en", "one two three", "three two one"),
    ("en", "the the the the the the the", "the cat is on the mat"),
    ("en", "Café naïve résumé", "Cafe naive resume"),
    ("en", "word", "word"),
    ("en", "x", "y"),
    ("en", "A much longer prediction than the reference ever was, with many needless words.", "A short one."),
    ("en", "Short.", "A much longer reference than the prediction ever was, with many needful words."),
    ("mixed", "使用Python 3.11訓練Transformer模型，學習率為2e-4。", "以 Python 3.11 訓練 Transformer 模型，學習率是 2e-4。"),
    ("mixed", "LED燈的功率是1,000.5W", "LED 燈功率為 1,000.5 W"),
    ("mixed", "5G-NR基地台（gNB）", "5G NR 基地臺 (gNB)"),
    ("mixed", "iPhone 15 Pro，售價NT$36,900元。", "iPhone 15 Pro，售價新臺幣36,900元"),
    ("mixed", "詳見 https://example.org/a?b=1&c=2 。", "請見https://example.org/a?b=1&amp;c=2。"),
    ("mixed", "ＡＢＣ１２３", "ABC123"),
    ("mixed", "他 said 「OK」 and left。", "他說「OK」就離開了。"),
    ("mixed", "甲.乙,丙.1,2甲", "甲。乙，丙.1,2 甲"),
    ("mixed", "&lt;標題&gt;：A&amp;B", "<標題>：A&B"),
    ("mixed", "ㄅㄆㄇ 注音 ˊˇˋ", "ㄅㄆㄇ注音ˊˇˋ"),
    ("odd", "我愛你😀👍🏽", "我愛你😀👍"),
    ("odd", "👨‍👩‍👧‍👦 家庭 ❤️ ☂ ✂", "👨‍👩‍👧 家庭 ❤ ☂️"),
    ("odd", "𠮷野家的𩸽魚定食", "吉野家的𩸽魚定食"),
    ("odd", "𠀀𠀁𠀂 𪛖 丽", "𠀀𠀁𠀂𪛖丽"),
    ("odd", "豈更車賈 ⿰木目 ⼈⺀", "豈更車賈 相 人"),
    ("odd", "a—b…c‘d’e“f”·g→h≤i", "a—b … c‘d’e“f” · g → h ≤ i"),
    ("odd", "e\u0301tude \u00a0 nbsp\u2003em\u200bzero\u2028line\x1funit\x85next", "étude nbsp em zero line unit next"),
    ("odd", "\u3000前後全形空白\u3000", "前後全形空白"),
    ("odd", "\ttab and trailing newline.\n", "tab and trailing newline ."),
    ("odd", "\u212aelvin \u0130stanbul", "kelvin istanbul"),
    ("odd", "かなカナｶﾅ 漢字 한국어", "かなカナ 漢字 한국어 조선"),
    ("empty", "", "這裡有參考答案。"),
    ("empty", "This prediction has no reference.", ""),
    ("empty", "", ""),
    ("empty", "   ", "."),
    ("empty", "\u3000", "\n"),
]

NASTY = list("人的一種雨傘，。「」！：；（）　…—·０Ａａ𠀀𠮷豈 　  abcABC019.,-&<>'\"/\\()[]{}$%#@!?;:~^`_*+=|éİſ😀☂ㄅかｶ\u2028\x1c\n\t")
NASTY += ["&quot;", "&amp;", "&lt;", "&gt;", "<skipped>", "-\n", "1.5", "2-3", "the", " the ", "雨傘"]


class Characters:
    """rouge_score's interface for the unit of Chinese: characters that are not white space."""

    def tokenize(self, text):
        return [c for c in text if not c.isspace()]


BLEUS = {tok: BLEU(tokenize=tok) for tok in ("13a", "zh", "char", "none")}
SENTENCE_BLEUS = {tok: BLEU(tokenize=tok, effective_order=True) for tok in BLEUS}
CHRFS = {"chrf": CHRF(), "chrf++": CHRF(word_order=2)}
ROUGES = ["rouge1", "rouge2", "rougeL"]
SCORERS = {
    "characters": rouge_scorer.RougeScorer(ROUGES, tokenizer=Characters()),
    "words": rouge_scorer.RougeScorer(ROUGES),
}


def character_f1(prediction, reference):
    p, r = Characters().tokenize(prediction), Characters().tokenize(reference)
    same = sum((collections.Counter(p) & collections.Counter(r)).values())
    return 2 * same / (len(p) + len(r)) if same else 0.0


def random_pairs(count, seed):
    rng = random.Random(seed)
    for _ in range(count):
        reference = rng.choices(NASTY, k=rng.randint(0, 24))
        prediction = list(reference)
        for _ in range(rng.randint(0, 8)):
            at = rng.randint(0, len(prediction))
            prediction[at : at + rng.randint(0, 2)] = rng.choices(NASTY, k=rng.randint(0, 2))
        yield "random", "".join(prediction), "".join(reference)


def sentence(prediction, reference):
    rouge = {}
    for unit, scorer in SCORERS.items():
        found = scorer.score(reference, prediction)
        rouge[unit] = {kind: [found[kind].precision, found[kind].recall, found[kind].fmeasure] for kind in ROUGES}
    return {
        "tokens": {tok: BLEUS[tok]._preprocess_segment(prediction).split() for tok in BLEUS},
        "bleu": {tok: bleu.sentence_score(prediction, [reference]).score for tok, bleu in SENTENCE_BLEUS.items()},
        **{name: chrf.sentence_score(prediction, [reference]).score for name, chrf in CHRFS.items()},
        "rouge": rouge,
        "char_f1": character_f1(prediction, reference),
    }


def corpus(pairs):
    predictions, references = [p for _, p, _ in pairs], [r for _, _, r in pairs]
    bleus = {}
    for tok, metric in BLEUS.items():
        bleu = metric.corpus_score(predictions, [references])
        bleus[tok] = {
            "score": bleu.score,
            "precisions": bleu.precisions,
            "brevity_penalty": bleu.bp,
            "lengths": [bleu.sys_len, bleu.ref_len],
            "signature": str(metric.get_signature()),
        }
    chrfs = {}
    for name, metric in CHRFS.items():
        score = metric.corpus_score(predictions, [references]).score
        chrfs[name] = {"score": score, "signature": str(metric.get_signature())}
    return {"bleu": bleus, **chrfs}


def ranges(belongs):
    """First and last of each run of code points that belong, surrogates left out."""
    found = []
    for code in range(0x80, 0x110000):
        if 0xD800 <= code < 0xE000 or not belongs(chr(code)):
            continue
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return found


def resampled(pairs, count):
    """sacreBLEU's scores of resamples that are written down, from whole counts (its own sums are 32-bit floats)."""
    predictions, references = [p for _, p, _ in pairs], [r for _, _, r in pairs]
    draws = numpy.random.default_rng(12345).choice(len(pairs), size=(count, len(pairs)))
    scores = {}
    for name, metric in (("bleu-zh", BLEUS["zh"]), ("chrf++", CHRFS["chrf++"])):
        rows = metric._extract_corpus_statistics(predictions, [references])
        sums = [[int(sum(column)) for column in zip(*(rows[i] for i in draw))] for draw in draws]
        scores[name] = [metric._compute_score_from_stats(total).score for total in sums]
    return {"draws": draws.tolist(), "scores": scores}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = pathlib.Path(__file__).resolve().parent.parent
    arguments.add_argument("--out", type=pathlib.Path, default=root / "fixtures/metrics/golden.json")
    arguments.add_argument("--random", type=int, default=30, help="pairs of random characters to add")
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()

    pairs = PAIRS + list(random_pairs(given.random, given.seed))
    groups = list(dict.fromkeys(group for group, _, _ in pairs))
    golden = {
        "made_by": "tools/make_metric_goldens.py",
        "versions": {"sacrebleu": sacrebleu.__version__, "rouge_score": "0.1.2"},
        "rows": [{"group": g, "prediction": p, "reference": r, **sentence(p, r)} for g, p, r in pairs],
        "corpora": {"all": corpus(pairs)} | {g: corpus([pair for pair in pairs if pair[0] == g]) for g in groups},
        "resampled": resampled(PAIRS, 40),
        "chinese_for_zh": ranges(BLEUS["zh"].tokenizer._is_chinese_char),
        "white_space": ranges(str.isspace),
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    lines = json.dumps(golden["rows"], ensure_ascii=True).replace('}, {"group"', '},\n{"group"')
    golden["rows"] = []
    text = json.dumps(golden, ensure_ascii=True).replace('"rows": []', f'"rows": [\n{lines[1:-1]}\n]')
    given.out.write_text(text + "\n", encoding="utf-8")
    print(f"{given.out}: {len(pairs)} pairs, {given.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
