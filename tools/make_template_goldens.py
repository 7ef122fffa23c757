"""Makes crates/text/tests/golden/chat_templates.json: SHA-256 of what jinja2, set up as transformers does, renders.

usage: make_template_goldens.py SHARED      (SHARED: the folder with models/chat-templates; made with jinja2 3.1.6)

The conversations are those of conversations.json beside the goldens.
"""

import hashlib
import json
import pathlib
import sys

from jinja2.exceptions import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

shared = pathlib.Path(sys.argv[1])
goldens = pathlib.Path(__file__).parent.parent / "crates/text/tests/golden"


def raise_exception(message):
    raise TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
environment.filters["tojson"] = tojson
environment.globals["raise_exception"] = raise_exception
environment.globals["strftime_now"] = lambda format: "26 Jul 2024"


def render(template, **context):
    try:
        return template.render(tools=None, **context)
    except TypeError:  # a tool template that loops over its tools; minijinja takes None for an empty list there
        return template.render(tools=[], **context)


conversations = json.loads((goldens / "conversations.json").read_text())
sources = {p.name: p.read_text() for p in sorted((shared / "models/chat-templates").glob("*.jinja"))}
for name in ["llama2", "minimind", "qwen2"]:
    config = json.loads((shared / "models/tokenizers" / name / "tokenizer_config.json").read_text())
    sources[name] = config["chat_template"]

golden = {}
for name, source in sources.items():
    template = environment.from_string(source)
    for i, messages in enumerate(conversations):
        for prompt in [False, True]:
            try:
                text = render(template, messages=messages, add_generation_prompt=prompt, documents=None,
                              bos_token="<s>", eos_token="</s>", unk_token="<unk>")
                value = hashlib.sha256(text.encode()).hexdigest()
            except TemplateError as e:
                value = "refused"
            golden[f"{name} {i} {prompt}"] = value
(goldens / "chat_templates.json").write_text(json.dumps(golden, indent=1) + "\n")
print(len(golden), "renderings,", sum(v == "refused" for v in golden.values()), "refused")
