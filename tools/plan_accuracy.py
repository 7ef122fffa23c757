"""Compares the peak memory that `luthier plan` tells with the one that `luthier train` then has, over ten recipes.

usage: python tools/plan_accuracy.py [--luthier target/release/luthier] [--models DIR] [--data DIR] [--only NAME]

DIR of models holds qwen05 and smol135 (Qwen2.5-0.5B's shape; a 135M body with the Qwen vocabulary), as
`tools/make_model.py` makes them; DIR of data ntu-adl2023-hw3/train.json and stanford-alpaca/alpaca_data.json.
`training` is the highest peak_memory_bytes of metrics.jsonl, `exit` that of the whole process, saving included.
"""
import argparse, json, os, subprocess, sys, tempfile

SHORT, LONG = 'ntu-adl2023-hw3/train.json', 'stanford-alpaca/alpaca_data.json'

# name: model, data, rows, steps, [model], [train]
RECIPES = {
    'pocket-lora': ('pocket', SHORT, 64, 3, '', 'method = "lora"\nrows_per_step = 16'),
    'pocket-full-8k': ('pocket', LONG, 400, 2, '', 'method = "full"\nrows_per_step = 128\nmicro_batch_tokens = 8192'),
    'smol-lora-int8': ('smol135', SHORT, 64, 2, 'store = "int8"', 'method = "lora"\nrows_per_step = 16'),
    'smol-lora-block': ('smol135', LONG, 64, 2, '', 'method = "lora"\nlora = { rank = 64 }\nrows_per_step = 16\nrecompute = "block"'),
    'smol-full': ('smol135', SHORT, 64, 2, '', 'method = "full"\nrows_per_step = 8'),
    'smol-full-512': ('smol135', LONG, 64, 2, '', 'method = "full"\nrows_per_step = 16\nmicro_batch_tokens = 512'),
    'qwen-lora': ('qwen05', SHORT, 64, 2, '', 'method = "lora"\nrows_per_step = 8'),
    'qwen-lora-long': ('qwen05', LONG, 64, 2, '', 'method = "lora"\nrows_per_step = 8'),
    'qwen-bf16-512': ('qwen05', LONG, 64, 2, 'store = "bf16"', 'method = "lora"\nrows_per_step = 8\nmicro_batch_tokens = 512'),
    'qwen-nf4-cheap': ('qwen05', LONG, 64, 2, 'store = "nf4"', 'method = "lora"\nrows_per_step = 8\nrecompute = "cheap"'),
}


def recipe(name, models, data):
    model, rows_of, limit, steps, options, train = RECIPES[name]
    base = 'pocket' if model == 'pocket' else os.path.join(models, model)
    return f'''name = "{name}"
data = {{ sources = [{{ path = "{os.path.join(data, rows_of)}" }}], limit = {limit}, split = {{ test = 0 }} }}
[model]
base = "{base}"
{options}
[train]
steps = {steps}
{train}
'''


def run(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode != 0:
        sys.exit(f'{" ".join(command)} ended with {done.returncode}\n{done.stderr}')
    return done.stdout


def trained(binary, path, out):
    """Peaks of a run: while it trained, and of the process."""
    process = subprocess.Popen([binary, 'train', path, '--out', out], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    message = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f'{path}: {message}')
    steps = [json.loads(line) for line in open(os.path.join(out, 'metrics.jsonl'))]
    return max(step.get('peak_memory_bytes', 0) for step in steps), usage.ru_maxrss * 1024


def main():
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--luthier', default=os.path.join(here, 'target/release/luthier'))
    parser.add_argument('--models', default='/tmp/models')
    parser.add_argument('--data', default=os.path.join(here, '../shared/data'))
    parser.add_argument('--only')
    args = parser.parse_args()
    binary, data = os.path.abspath(args.luthier), os.path.abspath(args.data)
    print('| recipe | planned MB | training MB | difference | exit MB |\n|---|---|---|---|---|', flush=True)
    worst = 0
    for name in RECIPES:
        if args.only and args.only not in name:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            path = os.path.join(scratch, f'{name}.toml')
            open(path, 'w').write(recipe(name, args.models, data))
            plan = json.loads(run([binary, 'plan', path, '--json']))
            training, whole = trained(binary, path, os.path.join(scratch, 'run'))
        planned = plan['peak_memory_bytes']
        difference = planned / training - 1
        worst = max(worst, abs(difference))
        print(f'| {name} | {planned / 1e6:.0f} | {training / 1e6:.0f} | {difference:+.1%} | {whole / 1e6:.0f} |', flush=True)
    print(f'\nlargest difference: {worst:.1%}')


main()
