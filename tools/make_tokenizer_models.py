"""Makes fixtures/{sentencepiece-unigram, sentencepiece-bpe, tiktoken}: small tokenizer.model files of the three kinds with what their
own implementations make of some texts.

usage: make_tokenizer_models.py      (made with sentencepiece 0.2.0, tiktoken 0.8.0, transformers 4.46.3, tokenizers 0.20.3)

The training text is the script's own. For SentencePiece models the ids of transformers' fast tokenizers, converted from the same
file, stand beside.
"""

import base64
import io
import json
import pathlib
import random
import tempfile

import sentencepiece
import tiktoken
import transformers
from tiktoken._educational import bpe_train

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"

# The pattern of Llama 3 (transformers, TikTokenConverter).
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

TEXTS = [
    "", "a", " a", "  a  b ", " ", "the lamps of the night market", "The Night Market 2024!", "12345 lamps",
    "夜市的燈籠", "夜市的燈籠亮了，攤販開始叫賣。", "燈 籠", "lamp燈lamp", "\n", "a\n\nb\t c\r\n", "it's don't WE'LL",
    "ﬁ ½ ① ㈱ Ａ１", "é e\u0301", "🙂", "👩\u200d👩\u200d👧", "貓貓貓", "x\u3000y\u00a0z", "<s>a</s>", "a<tool>b", "the <tool> the",
    "unbelievably untrained words zzzqqq", "一二三四五六七八九十", "\u200b\ufeff", "...!!!???", "___", "a▁b ▁", "ก ข ฃ",
]


def corpus():
    random.seed(20240726)
    people = ["the baker", "a student", "my uncle", "the lantern maker", "an old sailor", "she", "he", "the children"]
    deeds = ["lights", "buys", "sells", "repairs", "carries", "forgets", "paints", "counts", "hides"]
    things = ["a lamp", "the paper lanterns", "three oranges", "a bowl of noodles", "an umbrella", "the old radio"]
    places = ["in the night market", "by the river", "under the bridge", "at the station", "on the 2nd floor", "at 7:30"]
    who = ["老闆", "學生", "叔叔", "小女孩", "船長", "攤販", "他們"]
    does = ["點亮了", "買了", "賣掉", "修好了", "忘記帶", "畫了", "數著"]
    what = ["燈籠", "一盞燈", "三顆橘子", "一碗麵", "雨傘", "舊收音機"]
    where = ["在夜市", "在河邊", "在橋下", "在車站", "在二樓"]
    for _ in range(1500):
        one = f"{random.choice(people)} {random.choice(deeds)} {random.choice(things)} {random.choice(places)}."
        yield one[0].upper() + one[1:] if random.random() < 0.5 else one
        yield f"{random.choice(who)}{random.choice(where)}{random.choice(does)}{random.choice(what)}。"


def converted(model, classes):
    """Ids, special tokens included, of the fast tokenizers of these classes with these settings."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "tokenizer.model"
        path.write_bytes(model)
        for name, settings in classes:
            slow = getattr(transformers, name)(str(path), **settings)
            with tempfile.TemporaryDirectory() as saved:
                slow.save_pretrained(saved)
                fast = getattr(transformers, name + "Fast").from_pretrained(saved)
            ids = [fast(text)["input_ids"] for text in TEXTS]
            yield {"config": {"tokenizer_class": name, **settings}, "vocab_size": len(fast), "ids": ids}


def write(folder, model, encode, vocab_size, classes=()):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(model)
    cases = []
    for text in TEXTS:
        ids, decoded = encode(text)
        cases.append({"text": text, "ids": ids, "decoded": decoded})
    lines = ",\n  ".join(json.dumps(case, ensure_ascii=False) for case in cases)
    by_class = ",\n  ".join(json.dumps(case, ensure_ascii=False) for case in converted(model, classes))
    (folder / "golden.json").write_text(
        f'{{\n "vocab_size": {vocab_size},\n "encode": [\n  {lines}\n ],\n "transformers": [\n  {by_class}\n ]\n}}\n')
    print(folder.name, vocab_size, "tokens,", len(model), "bytes")


def sentencepiece_model(name, classes, **settings):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()), model_writer=model, character_coverage=1.0, num_threads=1,
        user_defined_symbols=["<tool>"], minloglevel=2, **settings)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())

    def encode(text):
        ids = processor.encode(text)
        return ids, processor.decode(ids)

    write(FIXTURES / name, model.getvalue(), encode, processor.get_piece_size(), classes)


def tiktoken_model(name):
    ranks = bpe_train("\n".join(corpus()), 400, LLAMA3, visualise=None)
    encoding = tiktoken.Encoding(name, pat_str=LLAMA3, mergeable_ranks=ranks, special_tokens={})
    model = b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in sorted(ranks.items(), key=lambda x: x[1]))

    def encode(text):
        ids = encoding.encode_ordinary(text)
        return ids, encoding.decode(ids)

    # transformers puts 256 special tokens behind the ranks.
    write(FIXTURES / name, model, encode, len(ranks) + 256)


T5 = [("T5Tokenizer", {"extra_ids": 10, "legacy": legacy}) for legacy in [True, False]]
LLAMA = [("LlamaTokenizer", {"legacy": legacy, "add_eos_token": legacy}) for legacy in [True, False]]
# Gemma's converter gives the first three pieces fixed meanings, which only a file of Gemma has.

sentencepiece_model("sentencepiece-unigram", T5, model_type="unigram", vocab_size=300)
sentencepiece_model(
    "sentencepiece-bpe", LLAMA, model_type="bpe", vocab_size=700, byte_fallback=True,
    normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True)
tiktoken_model("tiktoken")
