"""Writes trainer.json: what sentence-transformers' own trainer makes of a model folder, step by step.

    python trainer_reference.py

The folder is tests/data/models' st_mean. MultipleNegativesRankingLoss and its cached form train it through
SentenceTransformerTrainer with its own AdamW and clipping, on rows in decovec's order and at decovec's learning rates;
beside them, in float64, what rounding alone makes of the same run. Needs sentence-transformers 6.2 and transformers 5;
decovec's side is tests/train/trainer_reference_test.cpp, and benchmarks/compare_trainers.py does the same with real data.
"""

import json
import pathlib
import shutil
import sys
import tempfile
import types

DATA = pathlib.Path(__file__).resolve().parents[1]
MASK = (1 << 64) - 1


class Key:
    """decovec's RandomKey, stated anew: every draw is a hash of what it is for."""

    def __init__(self, seed):
        self.value = self.mix(seed)

    @staticmethod
    def mix(x):
        x = (x + 0x9E3779B97F4A7C15) & MASK
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
        return x ^ (x >> 31)

    def with_(self, part):
        key = object.__new__(Key)
        if isinstance(part, int):
            key.value = self.mix(self.value ^ self.mix(part))
            return key
        key.value = self.with_(MASK - len(part.encode())).value
        for byte in part.encode():
            key.value = self.mix(key.value ^ byte)
        return key

    def below(self, bound):
        limit = MASK - MASK % bound
        bits, attempt = self.mix(self.value), 0
        while bits >= limit:
            attempt += 1
            bits = self.mix(self.with_(attempt).value)
        return bits % bound

    def permutation(self, count):
        order = list(range(count))
        for i in range(count - 1, 0, -1):
            j = self.with_(i).below(i + 1)
            order[i], order[j] = order[j], order[i]
        return order


def drawn(rows, seed, stage, batch_size, steps):
    """The rows of a stage's batches, one after the other, where the stage has one data set."""
    key = Key(seed).with_("batches").with_(stage).with_("order").with_(0)
    order = []
    while len(order) < batch_size * steps:
        order += key.with_(len(order) // len(rows)).permutation(len(rows))
    return [rows[i] for i in order[: batch_size * steps]]


def rate_factor(step, steps, warmup):
    """Of the learning rate in a step, from 1: decovec's linear schedule. The trainer's own is a step behind, so that its first
    step changes nothing."""
    return step / warmup if step < warmup else (steps - step) / (steps - warmup)


def train(folder, rows, run, cached=False, float64=False):
    """Trains the folder's model; returns it with each step's loss. `rows` are in the order of training, `run` has batch_size,
    steps, warmup_steps, learning_rate, weight_decay, temperature and the two prompts."""
    import torch
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer import losses
    from torch.utils.data import BatchSampler, SequentialSampler

    class InOrder(SentenceTransformerTrainer):
        def get_batch_sampler(self, dataset, batch_size, drop_last, **_):
            return BatchSampler(SequentialSampler(range(len(dataset))), batch_size, drop_last)

        def create_scheduler(self, num_training_steps, optimizer=None):
            factor = lambda done: rate_factor(done + 1, run["steps"], run["warmup_steps"])
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, factor)
            return self.lr_scheduler

        def compute_loss(self, *args, **kwargs):
            result = super().compute_loss(*args, **kwargs)
            values.append((result[0] if isinstance(result, tuple) else result).item())
            return result

    values = []
    model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.float64 if float64 else torch.float32})
    if float64:
        keep_float64(model)
    scale = 1 / run["temperature"]
    if cached:
        loss = losses.CachedMultipleNegativesRankingLoss(model, scale=scale, mini_batch_size=run["batch_size"] // 3)
    else:
        loss = losses.MultipleNegativesRankingLoss(model, scale=scale)
    columns = {"query": [row["query"] for row in rows], "positive": [row["pos"][0] for row in rows]}
    for i in range(len(rows[0]["neg"])):
        columns[f"negative_{i}"] = [row["neg"][i] for row in rows]
    prompts = {name: run["document_prompt"] for name in columns} | {"query": run["query_prompt"]}
    with tempfile.TemporaryDirectory() as output:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=output, per_device_train_batch_size=run["batch_size"], max_steps=run["steps"],
            learning_rate=run["learning_rate"], weight_decay=run["weight_decay"], max_grad_norm=1.0, prompts=prompts,
            dataloader_drop_last=True, save_strategy="no", logging_strategy="no", report_to="none", use_cpu=True,
            disable_tqdm=True)
        trainer = InOrder(model=model, args=arguments, train_dataset=Dataset.from_dict(columns), loss=loss)
        trainer.train()
    assert len(values) == run["steps"]
    return model, values


def keep_float64(model):
    """Mistral's norms compute in float32 whatever the model's type is: here they do not. Its rotations do so in decovec too,
    by libm's scalar functions, whose last bit is at times another than that of torch's vectorised ones: here by libm too."""
    import ctypes

    import torch

    def norm(self, states):
        return self.weight * (states * torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))

    def rotations(self, states, position_ids):
        half = position_ids[..., None].float() * self.inv_freq.float()
        return tuple(half.clone().apply_(function).repeat(1, 1, 2).double() for function in (libm.cosf, libm.sinf))

    libm = ctypes.CDLL("libm.so.6")
    for function in (libm.cosf, libm.sinf):
        function.restype, function.argtypes = ctypes.c_float, [ctypes.c_float]

    for module in model.modules():
        if type(module).__name__ == "MistralRMSNorm":
            module.forward = types.MethodType(norm, module)
        if type(module).__name__ == "MistralRotaryEmbedding":
            module.forward = types.MethodType(rotations, module)


def make_rows():
    """Triples of one template, in each text's own words; no text occurs twice."""
    colours = ["red", "green", "blue", "black", "white", "grey"]
    animals = ["dog", "cat", "horse", "bird", "fish", "mouse", "whale", "snake"]
    deeds = ["runs", "sleeps", "eats", "sings"]
    rows = []
    for i in range(len(colours) * len(animals) * len(deeds)):
        colour, animal, deed = colours[i % 6], animals[i // 6 % 8], deeds[i // 48]
        other = animals[(i // 6 + 3) % 8]
        rows.append({"query": f"a {colour} {animal} {deed}", "pos": [f"the {animal} that {deed} is {colour}"],
                     "neg": [f"no {other} is {colour} when it {deed}"]})
    return [rows[i] for i in Key(5).permutation(len(rows))]


def held_out_score(model, rows, run):
    """The share of queries that are nearer to their own positive than to every other document."""
    queries = model.encode([row["query"] for row in rows], prompt=run["query_prompt"], convert_to_tensor=True)
    documents = [row["pos"][0] for row in rows] + [row["neg"][0] for row in rows]
    scores = queries @ model.encode(documents, prompt=run["document_prompt"], convert_to_tensor=True).T
    return (scores.argmax(1).cpu() == __import__("torch").arange(len(rows))).double().mean().item()


def copy_folder(name, folder):
    """A model folder of tests/data/models from the files that its case names."""
    cases = json.loads((DATA / "models/cases.json").read_text())["vectors"]
    for path, source in next(case for case in cases if case["name"] == name)["files"].items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(DATA / "models" / source, folder / path)


def main():
    import torch

    torch.set_num_threads(1)
    rows = make_rows()
    training, held_out = rows[:120], rows[120:]
    run = {"seed": 11, "stage": "triples", "batch_size": 15, "steps": 50, "warmup_steps": 5, "learning_rate": 3e-3,
           "weight_decay": 0.01, "temperature": 0.05, "query_prompt": "find: ", "document_prompt": ""}
    order = drawn(training, run["seed"], run["stage"], run["batch_size"], run["steps"])
    result = {"run": run, "training": training, "held_out": held_out}
    with tempfile.TemporaryDirectory() as folder:
        copy_folder("st_mean", pathlib.Path(folder))
        for name, options in {"float32": {}, "float32_cached": {"cached": True}, "float64": {"float64": True},
                              "float64_cached": {"float64": True, "cached": True}}.items():
            model, losses = train(folder, order, run, **options)
            result[name] = {"losses": losses, "held_out_score": held_out_score(model, held_out, run)}
            print(name, losses[0], losses[-1], result[name]["held_out_score"])
    (DATA / "train/trainer.json").write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    sys.exit(main())
