#!/usr/bin/env python3
"""Makes the reference values of embedder folders: folders/ (cases, small weights, vectors).

Every vector is sentence-transformers' own, each text encoded alone. Needs torch, transformers >= 5.2 and
sentence-transformers >= 6; run it with HF_HUB_OFFLINE=1 after model_reference.py, whose backbones it uses. The tests
need none of them.

folders/cases.json lists the cases. "files" of a case are copies of files below tests/data, "contents" are JSON files
given in place.
"""
import json
import shutil
import tempfile
from pathlib import Path

import torch
from model_reference import ENDED, QUERY, SENTENCEPIECE, SIZES, TEXTS
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer

HERE = Path(__file__).resolve().parent
OUT = HERE / "folders"
HIDDEN = SIZES["hidden_size"]
FLAGS = ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
ACTIVATION = "torch.nn.modules.activation."


class Folder:
    """The model folder of a case."""

    def __init__(self, case):
        self.case = case

    def __enter__(self):
        self.temporary = tempfile.TemporaryDirectory()
        folder = Path(self.temporary.name)
        for name, source in self.case["files"].items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(HERE / source, folder / name)
        for name, content in self.case["contents"].items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(json.dumps(content), encoding="utf-8")
        return folder

    def __exit__(self, *_):
        self.temporary.cleanup()


def random_tensors(name, shapes, seed):
    """Dense weights that keep a vector's size, in a file of their own."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for key, shape in shapes.items():
        scale = shape[-1] ** -0.5 if len(shape) > 1 else 0.3
        tensors[key] = scale * torch.randn(shape, generator=generator)
    path = OUT / f"{name}.safetensors"
    save_file(tensors, path, {"format": "pt"})
    return path.relative_to(HERE).as_posix()


def flags(*modes, include_prompt=True, size=HIDDEN):
    """1_Pooling/config.json before version 6."""
    return {"word_embedding_dimension": size, **{f"pooling_mode_{flag}": flag in modes for flag in FLAGS},
            "include_prompt": include_prompt}


def old_modules(*kinds, transformer=""):
    return [{"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else transformer,
             "type": f"sentence_transformers.models.{kind}"} for i, kind in enumerate(kinds)]


def new_modules(*kinds):
    package = {"Transformer": "base.modules.transformer", "Dense": "base.modules.dense",
               "Normalize": "base.modules.normalize", "Pooling": "sentence_transformer.modules.pooling"}
    return [{"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "",
             "type": f"sentence_transformers.{package[kind]}.{kind}"} for i, kind in enumerate(kinds)]


def finite(vectors):
    """The largest of nothing is -inf in the reference; decovec says zeros, as of every other pooling of nothing."""
    return vectors.masked_fill(vectors == float("-inf"), 0.0)


class Cases:
    def __init__(self):
        self.cases, self.tensors = [], {}

    def add(self, name, contents, files=(), config="v5_bidirectional", prompt=None, max_length=0, transformer="",
            tokenizer="st_old_mean"):
        """A folder of a Mistral backbone, and the vectors that sentence-transformers gives."""
        inside = f"{transformer}/" if transformer else ""
        all_files = {f"{inside}config.json": f"models/plain/{config}.json",
                     f"{inside}model.safetensors": "models/plain/model.safetensors",
                     f"{inside}tokenizer.model": f"models/{SENTENCEPIECE}",
                     f"{inside}tokenizer.json": f"models/{tokenizer}/tokenizer.json"}
        all_contents = {f"{inside}sentence_bert_config.json": {"max_seq_length": 40, "do_lower_case": False},
                        **contents}
        if f"{inside}tokenizer_config.json" not in contents:
            all_files[f"{inside}tokenizer_config.json"] = f"models/{tokenizer}/tokenizer_config.json"
        case = {"name": name, "files": {**all_files, **dict(files)}, "contents": all_contents, "prompt": prompt,
                "max_length": max_length}
        with Folder(case) as folder:
            model = SentenceTransformer(str(folder), device="cpu")
            assert model[0].model.dtype == torch.float32
            case["folder_max_length"] = model.max_seq_length
            if max_length:
                model.max_seq_length = max_length
            options = dict(prompt=prompt, convert_to_tensor=True)
            alone = finite(torch.cat([model.encode([text], **options) for text in TEXTS]))
            difference = (finite(model.encode(TEXTS, **options)) - alone).abs().max()
            assert difference < 2e-6 * max(1, alone.abs().max()), name
        assert alone.isfinite().all(), name
        self.tensors[name] = alone.cpu()
        self.cases.append(case)


def poolings(cases):
    for flag in FLAGS:
        contents = {"modules.json": old_modules("Transformer", "Pooling"), "1_Pooling/config.json": flags(flag)}
        cases.add(flag, contents)
        cases.add(f"{flag}_queries", contents, prompt=QUERY)
        contents["1_Pooling/config.json"] = flags(flag, include_prompt=False)
        cases.add(f"{flag}_without_prompt", contents, prompt=QUERY)
        cases.add(f"{flag}_nothing_pooled", contents, prompt=QUERY, max_length=12)
    cases.add("every_flag", {"modules.json": old_modules("Transformer", "Pooling"),
                             "1_Pooling/config.json": flags(*FLAGS, include_prompt=False)}, prompt=ENDED)
    cases.add("modes_in_their_own_order", {
        "modules.json": new_modules("Transformer", "Pooling", "Normalize"),
        "1_Pooling/config.json": {"embedding_dimension": HIDDEN, "include_prompt": True,
                                  "pooling_mode": ["lasttoken", "weightedmean", "cls"]}}, prompt=QUERY)


def dense(in_features, out_features, activation="Identity", bias=True, **keys):
    package = "torch.nn.modules.linear." if activation == "Identity" else ACTIVATION
    return {"in_features": in_features, "out_features": out_features, "bias": bias,
            "activation_function": package + activation, **keys}


def chain(cases, name, kinds, layers, seed, **options):
    """Dense layers of the given configs, among other modules."""
    contents = {"modules.json": options.pop("modules", old_modules)("Transformer", "Pooling", *kinds),
                "1_Pooling/config.json": options.pop("pooling", flags("mean_tokens"))}
    files = {}
    places = [i for i, kind in enumerate(kinds, 2) if kind == "Dense"]
    for place, config in zip(places, layers, strict=True):
        shapes = {"linear.weight": (config["out_features"], config["in_features"])}
        if config["bias"]:
            shapes["linear.bias"] = (config["out_features"],)
        if config.get("use_residual") and config["in_features"] != config["out_features"]:
            shapes["residual.weight"] = shapes["linear.weight"]
        contents[f"{place}_Dense/config.json"] = config
        files[f"{place}_Dense/model.safetensors"] = random_tensors(f"{name}_{place}", shapes, seed + place)
    cases.add(name, {**contents, **options.pop("contents", {})}, files, **options)


def heads(cases):
    one = dense(HIDDEN, 20, "Tanh")
    del one["activation_function"]  # the class's default
    chain(cases, "dense", ["Dense"], [one], 10)
    chain(cases, "two_bare_dense", ["Dense", "Dense", "Normalize"],
          [dense(HIDDEN, 48, bias=False), dense(48, HIDDEN, bias=False)], 20, modules=new_modules, prompt=QUERY)
    chain(cases, "residuals", ["Dense", "Dense", "Normalize", "Dense"],
          [dense(HIDDEN, 40, "GELU", use_residual=True), dense(40, 40, "SiLU", use_residual=True),
           dense(40, 24, "LeakyReLU", module_input_name="sentence_embedding", module_output_name="sentence_embedding")],
          30)
    chain(cases, "activations", ["Dense"] * 5,
          [dense(HIDDEN, 28, "ELU"), dense(28, 36, "Mish"), dense(36, 44, "Softplus"), dense(44, 30, "Sigmoid"),
           dense(30, 22, "ReLU")], 40)
    chain(cases, "dense_of_two_poolings", ["Normalize", "Dense"], [dense(2 * HIDDEN, 26, "Tanh")], 50,
          pooling=flags("mean_tokens", "lasttoken"))
    chain(cases, "truncated", ["Dense", "Normalize"], [dense(HIDDEN, 24)], 60, contents={
        "config_sentence_transformers.json": {
            "__version__": {"sentence_transformers": "6.0.0"}, "model_type": "SentenceTransformer",
            "prompts": {"query": QUERY, "document": None}, "default_prompt_name": "query",
            "similarity_fn_name": "dot", "truncate_dim": 10}})
    chain(cases, "truncated_beyond", ["Dense"], [dense(HIDDEN, 12)], 70, contents={
        "config_sentence_transformers.json": {"prompts": {}, "default_prompt_name": None, "truncate_dim": 100}})


def lengths(cases):
    """The longest text, wherever it is said."""
    pooling = {"modules.json": old_modules("Transformer", "Pooling"), "1_Pooling/config.json": flags("mean_tokens")}
    tokenizer = {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": True, "add_eos_token": False,
                 "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"}
    endless = {**tokenizer, "model_max_length": 1000000000000000019884624838656}
    short = {**tokenizer, "model_max_length": 9}
    for name, bert, tokenizer_config in (
            ("length_of_the_module", {"max_seq_length": 7, "do_lower_case": False}, short),
            ("length_of_the_tokenizer", {"max_seq_length": None}, short),
            ("length_of_the_tokenizer_version_6", {
                "transformer_task": "feature-extraction", "module_output_name": "token_embeddings",
                "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}}, short),
            ("length_of_the_positions", {}, endless),
            ("length_beyond_the_positions", {"max_seq_length": None}, {**tokenizer, "model_max_length": 4000}),
            ("length_of_the_arguments", {"tokenizer_args": {"model_max_length": 6}}, short)):
        cases.add(name, {**pooling, "sentence_bert_config.json": bert, "tokenizer_config.json": tokenizer_config})
    folder = "0_Transformer"
    cases.add("transformer_in_a_folder", {
        "modules.json": old_modules("Transformer", "Pooling", transformer=folder),
        "1_Pooling/config.json": flags("lasttoken"),
        f"{folder}/sentence_bert_config.json": {},
        f"{folder}/sentence_roberta_config.json": {"max_seq_length": 8, "do_lower_case": False}},
        transformer=folder, config="v5_window", tokenizer="st_last")


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    torch.set_num_threads(1)
    cases = Cases()
    poolings(cases)
    heads(cases)
    lengths(cases)
    save_file({name: value.contiguous() for name, value in cases.tensors.items()}, OUT / "vectors.safetensors")
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases.cases)
    (OUT / "cases.json").write_text(f'{{"cases": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    with torch.no_grad():
        main()
