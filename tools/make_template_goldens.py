"""Makes crates/text/tests/golden/{chat_templates, own_templates}.json: what jinja2, set up as transformers does, renders.

usage: make_template_goldens.py SHARED      (SHARED: the folder with models/chat-templates; made with jinja2 3.1.6)

The conversations are those of conversations.json beside the goldens. Of real templates the SHA-256 of each rendering is kept, of
those in crates/text/tests/templates the text, and where the template marks the model's own words, which bytes these are.
"""

import hashlib
import json
import pathlib
import sys

import jinja2.nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

shared = pathlib.Path(sys.argv[1])
tests = pathlib.Path(__file__).parent.parent / "crates/text/tests"


class Generation(Extension):
    """`{% generation %}` as transformers has it: a call block that writes its body. Here the body stands between two marks."""

    tags = {"generation"}
    marks = ("\ufdd0", "\ufdd1")

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("marked"), [], [], body).set_lineno(line)

    def marked(self, caller):
        return self.marks[0] + caller() + self.marks[1]


def raise_exception(message):
    raise TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
environment.filters["tojson"] = tojson
environment.globals["raise_exception"] = raise_exception
environment.globals["strftime_now"] = lambda format: "26 Jul 2024"


def render(template, chat, prompt):
    """The text, and the bytes of it between marks; None where the template or Python refuses (or a macro never ends)."""
    given = dict(messages=chat["messages"], tools=chat.get("tools"), documents=chat.get("documents"), add_generation_prompt=prompt,
                 bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    given.update(chat.get("variables", {}))
    try:
        try:
            marked = template.render(**given)
        except TypeError:  # a tool template that loops over its tools; minijinja takes None for an empty list there
            if given["tools"] is not None:
                raise
            marked = template.render(**given | {"tools": []})
    except (TemplateError, TypeError, RecursionError):
        return None
    text, spans = "", []
    for c in marked:
        if c == Generation.marks[0]:
            spans.append([len(text.encode())] * 2)
        elif c == Generation.marks[1]:
            spans[-1][1] = len(text.encode())
        else:
            text += c
    return text, spans


chats = json.loads((tests / "golden/conversations.json").read_text())
sources = {p.name: p.read_text() for p in sorted((shared / "models/chat-templates").glob("*.jinja"))}
for name in ["llama2", "minimind", "qwen2"]:
    config = json.loads((shared / "models/tokenizers" / name / "tokenizer_config.json").read_text())
    sources[name] = config["chat_template"]

golden = {}
for name, source in sources.items():
    template = environment.from_string(source)
    for i, chat in enumerate(chats):
        for prompt in [False, True]:
            rendered = render(template, chat, prompt)
            golden[f"{name} {i} {prompt}"] = hashlib.sha256(rendered[0].encode()).hexdigest() if rendered else "refused"
(tests / "golden/chat_templates.json").write_text(json.dumps(golden, indent=1) + "\n")
print(len(golden), "renderings,", sum(v == "refused" for v in golden.values()), "refused")

own = {}
for path in sorted((tests / "templates").glob("*.jinja")):
    template = environment.from_string(path.read_text())
    for i, chat in enumerate(chats):
        for prompt in [False, True]:
            rendered = render(template, chat, prompt)
            own[f"{path.name} {i} {prompt}"] = {"text": rendered[0], "spans": rendered[1]} if rendered else "refused"
(tests / "golden/own_templates.json").write_text(json.dumps(own, indent=1, ensure_ascii=False) + "\n")
print(len(own), "renderings of own templates,", sum(v == "refused" for v in own.values()), "refused")
