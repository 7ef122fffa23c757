"""A byte-level BPE tokenizer of a few hundred tokens, built like Qwen2's, trained on the sentences below, with a ChatML-like template."""

import json
import shutil

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from . import golden_file

VOCAB_SIZE = 384  # of the models; the tokenizer has four tokens fewer, as real checkpoints do
SPECIAL = ["<|bos|>", "<|im_start|>", "<|im_end|>", "<|endoftext|>"]

SENTENCES = """
一種可攜式電子裝置，包含一殼體、一顯示模組以及一電池模組。
本發明提供一種散熱結構，其包含一熱管及複數個鰭片。
該裝置具有一感測器，用以偵測環境的溫度，並將資料傳送至伺服器。
請為下列的裝置寫一個簡短的標題。
標題：具有散熱結構的電子裝置。
春天的早晨，山上的雲慢慢散開，村子裡的人都出門去了。
請問這個句子要怎麼翻譯成英文？
「你好，」他說，「今天的天氣很好，我們去河邊走走吧！」
這台機器可以在黑暗中看見東西，也可以聽見很遠的聲音。
如果電池沒有電了，請先將它取出，再放入新的電池。
A portable device with a housing, a display module and a battery module.
The sensor measures the temperature of the room and sends it to a server.
Write a short title for the device below.
In the morning the clouds over the hills open slowly, and the people of the village go out.
Please translate the sentence into English.
If the battery is empty, take it out first and put in a new one.
The machine sees in the dark, and it can hear sounds that are far away.
It's a small lamp; they've tested it 120 times in 2023.
""".strip().split("\n")

SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")

CHAT_TEMPLATE = """\
{%- if messages[0]['role'] != 'system' -%}
{{ '<|im_start|>system\\n你是一位用字精確的助理。<|im_end|>\\n' }}
{%- endif -%}
{%- for message in messages -%}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\\n' }}
{%- endif -%}
"""

BOS_CHAT_TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
    {%- if message.role not in ['system', 'user', 'assistant'] %}
        {{- raise_exception('unknown role ' + message.role) }}
    {%- endif %}
    {{- '<|im_start|>' ~ message.role ~ ': ' }}
    {{- message.content ~ eos_token }}
    {{- '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant: ' }}
{%- endif %}
"""

TEXTS = [
    "",
    "a",
    " ",
    "  two  spaces  ",
    "The display module of the device.",
    "the DISPLAY Module",
    "一種電子裝置",
    "一種電子裝置，包含一殼體。",
    "全形標點：「你好」！（測試）；、。",
    "中英混排 Mixed 文字 with 空格",
    "罕用字：龘𠮷㐂",
    "emoji 😀 and 👨‍👩‍👧‍👦 and 🇹🇼",
    "line one\nline two\r\nline three\n\n\nend",
    "\ttab\t\tseparated",
    "trailing newline\n",
    "   leading spaces",
    "it's, they've, I'M, we'll",
    "numbers 1234567890 and 3.14159",
    "e\u0301 is normalised to é",
    "한국어와 日本語",
    "<|im_start|>user\nhello<|im_end|>\n",
    "text<|endoftext|>more text",
    "<|im_start|",
    "a <|bos|> in the middle ",
    "null \u0000 and zero-width \u200b and \ufeff",
    "https://example.org/a?b=c&d=%20#e",
    "    if x == 0:\n        return None\n",
]

CONVERSATIONS = [
    [{"role": "user", "content": "請為下列的裝置寫一個簡短的標題。"}],
    [{"role": "user", "content": "  Write a title.  "}, {"role": "assistant", "content": "A lamp\n"}],
    [{"role": "system", "content": "Answer briefly."}, {"role": "user", "content": "你好"}],
    [
        {"role": "system", "content": "你是專利工程師。"},
        {"role": "user", "content": "一種散熱結構，其包含一熱管。"},
        {"role": "assistant", "content": "散熱結構"},
        {"role": "user", "content": "In English?\n"},
        {"role": "assistant", "content": "Heat dissipation structure 😀"},
        {"role": "user", "content": "謝謝！"},
    ],
]


def train():
    """The BPE model with Qwen2's normaliser and pre-tokeniser; special tokens take the ids 0 to 3."""
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(SENTENCES, trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - 4, special_tokens=SPECIAL, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return bpe


def save(bpe, folder, **options):
    shutil.rmtree(folder, ignore_errors=True)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>", clean_up_tokenization_spaces=False,
        additional_special_tokens=["<|im_start|>", "<|im_end|>"], model_max_length=256, **options)
    wrapped.save_pretrained(folder)


def write_golden(folder, conversations, chat_template=None):
    wrapped = AutoTokenizer.from_pretrained(folder)
    wrapped.chat_template = chat_template or wrapped.chat_template
    encode = []
    for text in TEXTS:
        ids = wrapped(text)["input_ids"]
        encode.append({
            "text": text, "ids": ids, "ids_without_special": wrapped(text, add_special_tokens=False)["input_ids"],
            "decoded": wrapped.decode(ids), "decoded_skip_special": wrapped.decode(ids, skip_special_tokens=True),
        })
    chat = []
    for messages in conversations:
        for prompt in (False, True):
            chat.append({
                "messages": messages, "add_generation_prompt": prompt,
                "text": wrapped.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt),
                "ids": wrapped.apply_chat_template(messages, add_generation_prompt=prompt),
            })
    golden_file.write(folder / "golden.json", {
        "made_with": golden_file.MADE_WITH, "vocab_size": len(wrapped), "bos_token_id": wrapped.bos_token_id,
        "eos_token_id": wrapped.eos_token_id, "pad_token_id": wrapped.pad_token_id, "encode": encode, "chat": chat,
    })


def make(folder):
    """No beginning-of-sequence token; the template stands in tokenizer_config.json."""
    save(train(), folder, chat_template=CHAT_TEMPLATE)
    write_golden(folder, CONVERSATIONS)


def make_with_bos(folder):
    """Puts <|bos|> before every text; the template stands in chat_template.jinja, where newer transformers write it."""
    bpe = train()
    bpe.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|bos|> $A", pair="<|bos|> $A <|bos|> $B", special_tokens=[("<|bos|>", 0)]),
    ])
    save(bpe, folder, bos_token="<|bos|>")
    assert "chat_template" not in json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    (folder / "chat_template.jinja").write_text(BOS_CHAT_TEMPLATE, encoding="utf-8")
    write_golden(folder, CONVERSATIONS, BOS_CHAT_TEMPLATE)
