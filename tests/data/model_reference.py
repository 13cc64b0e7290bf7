#!/usr/bin/env python3
"""Makes the reference values of the model layer: models/ (tiny random models, configs, expected values).

References: transformers' Mistral, sentence-transformers, and for NV-Embed's latent attention a plain PyTorch
statement of the published block. Needs torch, transformers >= 5.2, sentence-transformers >= 6 and sentencepiece;
run it with HF_HUB_OFFLINE=1. The tests need none of them.

models/cases.json lists the cases. A case names the files of its model folder (many cases share weights), so the
tests and this script put the same folder together: "config.json": "plain/v5.json" means a copy of plain/v5.json.
"""
import json
import shutil
import tempfile
from pathlib import Path

import sentencepiece
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tokenizers import AddedToken, Tokenizer, models, normalizers, processors
from transformers import MistralConfig, MistralForCausalLM, MistralModel, PreTrainedTokenizerFast

HERE = Path(__file__).resolve().parent
OUT = HERE / "models"
SENTENCEPIECE = "../tokenizer/tokenizer.model"

TEXTS = [
    "a small animal of the dog family",
    "",
    "a",
    "Hello world é 漢 — naïve",
    "two  spaces,  and one at the end ",
    "the state of being free; 1984",
    "a word</s> after an end <s>and a start",
    "any of various trees of the genus Quercus having acorns as fruit, and the hard durable wood of such a tree",
]
QUERY = "Instruct: Given a word, find its meaning.\nQuery: "
NO_SPACE = "Instruct: Find what is meant.\nQuery:"
ENDED = "Find what is meant.</s>"


# ---------------------------------------------------------------------------------------------- tokenizer


def tokenizer_json(eos):
    """The `tokenizers` equal of the sentencepiece fixture: Mistral-7B-v0.1's pipeline, BOS and maybe EOS."""
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(OUT / SENTENCEPIECE))
    vocabulary = {pieces.id_to_piece(i): i for i in range(len(pieces))}
    merges = []
    for piece, i in vocabulary.items():
        if pieces.is_control(i) or pieces.is_unknown(i) or pieces.is_byte(i):
            continue
        splits = [(piece[:k], piece[k:]) for k in range(1, len(piece))]
        splits = [pair for pair in splits if pair[0] in vocabulary and pair[1] in vocabulary]
        merges += [(-pieces.get_score(i), vocabulary[left], vocabulary[right], left, right) for left, right in splits]
    merges = [(left, right) for _, _, _, left, right in sorted(merges)]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t in ("<unk>", "<s>", "</s>")])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>" if eos else "<s> $A", special_tokens=[("<s>", 1), ("</s>", 2)])
    for text in [*TEXTS, QUERY, NO_SPACE]:
        if "s>" not in text:
            ids = tokenizer.encode(text).ids
            assert ids == [1, *pieces.encode(text), *([2] if eos else [])], text
    return tokenizer


def fast_tokenizer(eos=False):
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer_json(eos), bos_token="<s>", eos_token="</s>",
                                   unk_token="<unk>", pad_token="</s>")


# ------------------------------------------------------------------------------------------------- models


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def randomise(module, seed):
    """Values that make every part matter: attention far from uniform, norms far from one, small embeddings."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in sorted(module.state_dict().items()):
        noise = torch.randn(value.shape, generator=generator)
        if "norm" in name:
            value.copy_(1 + 0.3 * noise if name.endswith("weight") else 0.2 * noise)
        elif "embed_tokens" in name:
            value.copy_(0.02 * noise)
        elif "q_proj" in name or "k_proj" in name:
            value.copy_(1.5 * noise / value.shape[-1] ** 0.5)
        else:
            value.copy_(noise / value.shape[-1] ** 0.5)


SIZES = dict(vocab_size=800, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=512)
WIDE = {**SIZES, "hidden_size": 48, "head_dim": 16}


def v4_config(architecture, sizes, **keys):
    """config.json as transformers 4 writes it."""
    return {"architectures": [architecture], "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2,
            "hidden_act": "silu", "initializer_range": 0.02, "model_type": "mistral", "rms_norm_eps": 1e-05, **sizes,
            "rope_theta": 500.0, "rope_scaling": None, "sliding_window": None, "tie_word_embeddings": False,
            "torch_dtype": "float32", "transformers_version": "4.46.2", "use_cache": True, **keys}


def make_plain():
    """One small Mistral and its configs; the same weights in bfloat16."""
    config = MistralConfig(**SIZES, rope_parameters={"rope_type": "default", "rope_theta": 500.0},
                           rms_norm_eps=1e-5, sliding_window=None)
    model = MistralModel(config)
    randomise(model, 1)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        v5 = json.loads((Path(folder) / "config.json").read_text())
        (OUT / "plain").mkdir(parents=True)
        shutil.copy(Path(folder) / "model.safetensors", OUT / "plain" / "model.safetensors")
    assert "rope_parameters" in v5 and v5["dtype"] == "float32"
    write_json(OUT / "plain" / "v5.json", v5)
    write_json(OUT / "plain" / "v5_bidirectional.json", {**v5, "is_causal": False})
    write_json(OUT / "plain" / "v5_window.json", {**v5, "sliding_window": 4})
    write_json(OUT / "plain" / "v5_bidirectional_window.json", {**v5, "sliding_window": 4, "is_causal": False})
    write_json(OUT / "plain" / "v5_bfloat16.json", {**v5, "dtype": "bfloat16", "is_causal": False})
    write_json(OUT / "plain" / "v4_window.json", v4_config("MistralModel", SIZES, sliding_window=4))
    needed = {key: SIZES[key] for key in SIZES if key != "max_position_embeddings"}
    write_json(OUT / "plain" / "defaults.json", {"architectures": ["MistralModel"], "model_type": "mistral", **needed})
    state = {name: value.to(torch.bfloat16) for name, value in model.state_dict().items()}
    save_file(state, OUT / "plain" / "model_bfloat16.safetensors", {"format": "pt"})


def make_wide():
    """A language model ("model." before each name, lm_head) in shards, heads * head_dim unlike the hidden size."""
    model = MistralForCausalLM(MistralConfig(**WIDE, rms_norm_eps=1e-5))
    randomise(model, 2)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, max_shard_size="170KB")
        (OUT / "wide").mkdir()
        for file in Path(folder).glob("model*"):
            shutil.copy(file, OUT / "wide" / file.name)
    assert (OUT / "wide" / "model.safetensors.index.json").exists()
    write_json(OUT / "wide" / "v4_window.json", v4_config("MistralForCausalLM", WIDE, sliding_window=5))
    write_json(OUT / "wide" / "v4_bidirectional.json", v4_config("MistralForCausalLM", WIDE, is_causal=False))


# --------------------------------------------------------------------------------------------- the cases


class Folder:
    """The model folder of a case, put together from the committed files."""

    def __init__(self, files):
        self.files = files

    def __enter__(self):
        self.temporary = tempfile.TemporaryDirectory()
        folder = Path(self.temporary.name)
        for name, source in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(OUT / source, folder / name)
        return folder

    def __exit__(self, *_):
        self.temporary.cleanup()


def states_alone(model, sequences):
    """last_hidden_state of each sequence computed alone, laid end to end; a padded batch must agree."""
    with torch.no_grad():
        alone = [model(torch.tensor([ids])).last_hidden_state[0] for ids in sequences]
        if alone[0].dtype == torch.float32:
            longest = max(map(len, sequences))
            ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids in sequences])
            mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in sequences])
            padded = model(ids, attention_mask=mask).last_hidden_state
            for row, expected in zip(padded, alone):
                assert (row[: len(expected)] - expected).abs().max() < 2e-6 * expected.abs().max()
    return torch.cat(alone)


def id_sequences():
    generator = torch.Generator().manual_seed(3)
    tokenizer = fast_tokenizer()
    sequences = [tokenizer(text)["input_ids"] for text in TEXTS]
    for length in (1, 17, 2, 5, 5, 40, 4, 6, 5, 9):
        sequences.append(torch.randint(3, SIZES["vocab_size"], (length,), generator=generator).tolist())
    return sequences


def state_cases(tensors):
    tokenizer_files = {"tokenizer.model": SENTENCEPIECE}
    plain = {"model.safetensors": "plain/model.safetensors", **tokenizer_files}
    wide = {path.name: f"wide/{path.name}" for path in sorted((OUT / "wide").glob("model*"))} | tokenizer_files
    configs = [(name, plain, f"plain/{name}.json") for name in
               ("v5", "v5_bidirectional", "v5_window", "v5_bidirectional_window", "v4_window", "defaults")]
    configs += [(f"wide_{name}", wide, f"wide/{name}.json") for name in ("v4_window", "v4_bidirectional")]
    sequences = id_sequences()
    tensors["ids"] = torch.tensor(sum(sequences, []))
    tensors["cu_seqlens"] = torch.tensor([0] + [len(ids) for ids in sequences]).cumsum(0)
    long = [1] + [3 + 37 * i % 797 for i in range(2999)]  # far positions: where rotary angles lose precision
    tensors["long.ids"] = torch.tensor(long)
    cases = []
    for name, weights, config in configs:
        files = {"config.json": config, **weights}
        with Folder(files) as folder:
            model = MistralModel.from_pretrained(folder, dtype=torch.float32).eval()
            tensors[f"states.{name}"] = states_alone(model, sequences)
            tensors[f"long.{name}"] = model(torch.tensor([long])).last_hidden_state[0, -8:]
            if name == "v5_bidirectional":  # float16 weights, computed in float32
                for parameter in model.parameters():  # not .half(): that rounds the rotary frequencies too
                    parameter.copy_(parameter.half())
                tensors["states.half"] = states_alone(model, sequences)
        cases.append({"name": name, "files": files})
    files = {"config.json": "plain/v5_bfloat16.json", "model.safetensors": "plain/model_bfloat16.safetensors",
             **tokenizer_files}
    with Folder(files) as folder:
        model = MistralModel.from_pretrained(folder, dtype=torch.bfloat16).eval()
        tensors["states.bfloat16"] = states_alone(model, sequences)
        tensors["states.bfloat16.exact"] = states_alone(model.float(), sequences)
    return cases, {"name": "bfloat16", "files": files}


def check_sensitivity(tensors):
    """Every setting that a case is about moves the states by far more than the tolerance of the tests."""
    def apart(a, b):
        difference = (tensors[f"states.{a}"].float() - tensors[f"states.{b}"].float()).abs().max().item()
        assert difference > 1e-2, (a, b, difference)
    apart("v5", "v5_bidirectional")
    apart("v5", "v5_window")
    apart("v5_window", "v5_bidirectional_window")
    apart("v5_bidirectional", "v5_bidirectional_window")
    apart("v5", "defaults")
    apart("wide_v4_window", "wide_v4_bidirectional")
    assert torch.equal(tensors["states.v5_window"], tensors["states.v4_window"])
    exact, rounded = tensors["states.bfloat16.exact"], tensors["states.bfloat16"].float()
    print(f"bfloat16: relative error {((rounded - exact).norm() / exact.norm()).item():.2e}")


# ---------------------------------------------------------------------------------------------- NV-Embed


def latent_attention(weight, sizes, states):
    """states [T, H] to [T, H]: tokens query the latents, then a gated feed-forward; both with a residual."""
    def norm(x, name):
        w, b = weight(f"{name}.weight"), weight(f"{name}.bias")
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * w + b

    heads, size = sizes["num_cross_heads"], sizes["cross_dim_head"]
    cross, feed = "cross_attend_blocks.0", "cross_attend_blocks.1"
    query = norm(states, f"{cross}.norm") @ weight(f"{cross}.fn.to_q.weight").T
    both = norm(weight("latents"), f"{cross}.norm_context") @ weight(f"{cross}.fn.to_kv.weight").T
    key, value = both[:, : heads * size], both[:, heads * size :]
    context = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = query[:, part] @ key[:, part].T / size**0.5
        context.append(scores.softmax(-1) @ value[:, part])
    states = states + torch.cat(context, -1) @ weight(f"{cross}.fn.to_out.weight").T
    inner = norm(states, f"{feed}.norm") @ weight(f"{feed}.fn.net.0.weight").T + weight(f"{feed}.fn.net.0.bias")
    carried, gate = inner.chunk(2, -1)
    gated = carried * (gate * 0.5 * (1 + torch.erf(gate / 2**0.5)))
    return states + gated @ weight(f"{feed}.fn.net.2.weight").T + weight(f"{feed}.fn.net.2.bias")


def nv_config(hidden, latent, text_keys, **keys):
    remote = "nvidia/NV-Embed-v2--"
    return {
        "_name_or_path": "nvidia/NV-Embed-v2", "add_eos": True, "add_pad_token": True,
        "architectures": ["NVEmbedModel"],
        "auto_map": {"AutoConfig": f"{remote}configuration_nvembed.NVEmbedConfig",
                     "AutoModel": f"{remote}modeling_nvembed.NVEmbedModel"},
        "hidden_size": hidden, "is_mask_instruction": True,
        "latent_attention_config": {"model_type": "latent_attention", **latent}, "mask_type": "b",
        "model_type": "nvembed", "padding_side": "right",
        "text_config": {"_name_or_path": "nvidia/NV-Embed-v2", "add_cross_attention": False,
                        "architectures": ["MistralModel"], "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
                        "model_type": "bidir_mistral", **SIZES, **text_keys},
        "torch_dtype": "float32", "transformers_version": "4.42.4", **keys}


class NvEmbed(torch.nn.Module):
    """The backbone and a holder of the block's tensors, under the published names."""

    def __init__(self, config):
        super().__init__()
        text = config["text_config"]
        keys = {key: text[key] for key in SIZES}
        self.embedding_model = MistralModel(MistralConfig(
            **keys, rms_norm_eps=text.get("rms_norm_eps", 1e-5), sliding_window=None, is_causal=False,
            rope_parameters={"rope_type": "default", "rope_theta": text.get("rope_theta", 1e4)}))
        sizes = self.sizes = config["latent_attention_config"]
        hidden, latent = keys["hidden_size"], sizes["latent_dim"]
        inner, width = sizes["num_cross_heads"] * sizes["cross_dim_head"], sizes["mult"] * hidden
        shapes = {"latents": (sizes["num_latents_value"], latent)}
        for name, size in (("0.norm", hidden), ("0.norm_context", latent), ("1.norm", hidden)):
            shapes |= {f"{name}.weight": (size,), f"{name}.bias": (size,)}
        shapes |= {"0.fn.to_q.weight": (inner, hidden), "0.fn.to_kv.weight": (2 * inner, latent),
                   "0.fn.to_out.weight": (hidden, inner)}
        shapes |= {"1.fn.net.0.weight": (2 * width, hidden), "1.fn.net.0.bias": (2 * width,),
                   "1.fn.net.2.weight": (hidden, width), "1.fn.net.2.bias": (hidden,)}
        self.shapes = {n if n == "latents" else f"cross_attend_blocks.{n}": s for n, s in shapes.items()}
        self.latent = {name: torch.empty(shape) for name, shape in self.shapes.items()}

    def state_dict(self):
        return ({f"embedding_model.{n}": v for n, v in self.embedding_model.state_dict().items()} |
                {f"latent_attention_model.{n}": v for n, v in self.latent.items()})

    def load(self, state):
        for name, value in self.state_dict().items():
            assert value.shape == state[name].shape, name
            value.copy_(state[name])
        return self

    def embed(self, ids, pool_begin):
        with torch.no_grad():
            states = self.embedding_model(torch.tensor([ids])).last_hidden_state[0]
            pooled = latent_attention(self.latent.__getitem__, self.sizes, states)[pool_begin:]
        if len(pooled) == 0:  # the published code divides 0 by 0 here; a text with nothing pooled is zeros
            return torch.zeros(states.shape[-1])
        return torch.nn.functional.normalize(pooled.mean(0), dim=0)


def make_nv(folder, config, dtype, seed):
    model = NvEmbed(config)
    randomise(model, seed)
    state = {name: value.to(dtype) for name, value in model.state_dict().items()}
    write_json(OUT / folder / "config.json", config)
    save_file(state, OUT / folder / "model.safetensors", {"format": "pt"})


def make_nv_folders():
    # 6 latents of a width unlike the hidden size; rms_norm_eps and rope_theta absent; a window that is not used
    odd = {"num_latents_value": 6, "num_cross_heads": 2, "output_normalize": True, "hidden_dim": 32, "latent_dim": 24,
           "cross_dim_head": 8, "mult": 4}
    make_nv("nv_odd", nv_config(32, odd, {"sliding_window": 4}), torch.float32, 4)
    unmasked = nv_config(32, odd, {"sliding_window": 4}, is_mask_instruction=False)
    write_json(OUT / "nv_odd" / "unmasked.json", unmasked)
    # float16 files as the published ones, a v4 dump of the backbone's config
    even = {"num_latents_value": 9, "num_cross_heads": 4, "output_normalize": True, "hidden_dim": 32,
            "latent_dim": 32, "cross_dim_head": 16, "mult": 2}
    text = {"rms_norm_eps": 1e-3, "rope_theta": 500.0, "sliding_window": 4096, "head_dim": 8,
            "torch_dtype": "float32"}
    make_nv("nv_half", nv_config(32, even, text, torch_dtype="float16"), torch.float16, 5)
    write_json(OUT / "nv_odd" / "tokenizer_config.json", {
        "add_bos_token": True, "add_eos_token": False, "bos_token": "<s>", "eos_token": "</s>", "legacy": True,
        "model_max_length": 1000000000000000019884624838656, "pad_token": "</s>", "padding_side": "right",
        "tokenizer_class": "LlamaTokenizer", "unk_token": "<unk>", "use_default_system_prompt": False})


def nv_cases(tensors):
    tokenizer = fast_tokenizer()
    cases = []
    for name, weights, config, prompt, max_length in (
            ("nv_odd_documents", "nv_odd", "config", "", 0), ("nv_odd_queries", "nv_odd", "config", QUERY, 0),
            ("nv_odd_no_space", "nv_odd", "config", NO_SPACE, 0),
            ("nv_odd_cut_documents", "nv_odd", "config", "", 9), ("nv_odd_cut_queries", "nv_odd", "config", QUERY, 40),
            ("nv_odd_nothing_pooled", "nv_odd", "config", QUERY, 12),
            ("nv_odd_unmasked", "nv_odd", "unmasked", QUERY, 0),
            ("nv_half_documents", "nv_half", "config", "", 0), ("nv_half_queries", "nv_half", "config", QUERY, 0)):
        files = {"config.json": f"{weights}/{config}.json", "model.safetensors": f"{weights}/model.safetensors",
                 "tokenizer.model": SENTENCEPIECE, "tokenizer_config.json": "nv_odd/tokenizer_config.json"}
        with Folder(files) as folder:
            settings = json.loads((folder / "config.json").read_text())
            model = NvEmbed(settings).load(load_file(folder / "model.safetensors"))
        skipped = len(tokenizer.tokenize(prompt)) if prompt and settings["is_mask_instruction"] else 0
        ids = [tokenizer(prompt + text + "</s>", truncation=max_length > 0, max_length=max_length or None)["input_ids"]
               for text in TEXTS]
        begins = [min(skipped, len(sequence)) for sequence in ids]
        tensors[f"vectors.{name}"] = torch.stack([model.embed(*row) for row in zip(ids, begins)])
        cases.append({"name": name, "files": files, "prompt": prompt, "max_length": max_length, "ids": ids,
                      "pool_begin": begins})
    return cases


# --------------------------------------------------------------------------------- sentence-transformers


def tokenizer_files(folder, eos):
    """tokenizer.json and tokenizer_config.json as transformers writes them, with the BOS and EOS flags."""
    tokenizer = fast_tokenizer(eos)
    tokenizer.model_max_length = 40
    with tempfile.TemporaryDirectory() as temporary:
        tokenizer.save_pretrained(temporary)
        config = json.loads((Path(temporary) / "tokenizer_config.json").read_text())
        (OUT / folder).mkdir(exist_ok=True)
        shutil.copy(Path(temporary) / "tokenizer.json", OUT / folder / "tokenizer.json")
    write_json(OUT / folder / "tokenizer_config.json", {**config, "add_bos_token": True, "add_eos_token": eos})


def make_st_saved(name, config, eos, pooling, prompts):
    """A folder that sentence-transformers writes itself."""
    tokenizer_files(name, eos)
    files = {"config.json": config, "model.safetensors": "plain/model.safetensors",
             "tokenizer.json": f"{name}/tokenizer.json", "tokenizer_config.json": f"{name}/tokenizer_config.json"}
    with Folder(files) as folder, tempfile.TemporaryDirectory() as saved:
        modules = [Transformer(str(folder)), Pooling(SIZES["hidden_size"], **pooling), Normalize()]
        SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save(saved, create_model_card=False)
        for file in ("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json", "config.json",
                     "1_Pooling/config.json", "tokenizer_config.json", "tokenizer.json"):
            (OUT / name / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(saved) / file, OUT / name / file)
    saved_config = json.loads((OUT / name / "tokenizer_config.json").read_text())
    loader_notes = ("is_local", "local_files_only")
    saved_config = {key: value for key, value in saved_config.items() if key not in loader_notes}
    write_json(OUT / name / "tokenizer_config.json", {**saved_config, "add_bos_token": True, "add_eos_token": eos})


def make_st_old(name, mode, modules, settings):
    """A folder as sentence-transformers 5.3 and before wrote it."""
    tokenizer_files(name, False)
    config = json.loads((OUT / name / "tokenizer_config.json").read_text())
    config |= {"tokenizer_class": "LlamaTokenizer", "model_max_length": 1000000000000000019884624838656}
    write_json(OUT / name / "tokenizer_config.json", config)
    write_json(OUT / name / "modules.json", [
        {"idx": i, "name": str(i), "path": f"{i}_{module}" if i else "", "type": f"sentence_transformers.models.{module}"}
        for i, module in enumerate(modules)])
    write_json(OUT / name / "sentence_bert_config.json", {"max_seq_length": 40, "do_lower_case": False})
    flags = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    write_json(OUT / name / "1_Pooling" / "config.json", {
        "word_embedding_dimension": SIZES["hidden_size"], **{f"pooling_mode_{flag}": flag == mode for flag in flags},
        "include_prompt": False})
    write_json(OUT / name / "config_sentence_transformers.json", {
        "__version__": {"sentence_transformers": "3.3.1", "transformers": "4.46.2", "pytorch": "2.5.1"}, **settings})


def st_files(name, config):
    files = {"config.json": config, "model.safetensors": "plain/model.safetensors", "tokenizer.model": SENTENCEPIECE}
    for path in sorted((OUT / name).rglob("*.json")):
        files.setdefault(path.relative_to(OUT / name).as_posix(), path.relative_to(OUT).as_posix())
    return files


def st_cases(tensors):
    prompts = {"query": QUERY, "document": ""}
    make_st_saved("st_mean", "plain/v5_bidirectional.json", False, {"pooling_mode": "mean"}, prompts)
    make_st_saved("st_last", "plain/v5_window.json", True, {"pooling_mode": "lasttoken"}, {"query": NO_SPACE})
    make_st_old("st_old_mean", "mean_tokens", ["Transformer", "Pooling", "Normalize"],
                {"prompts": prompts, "default_prompt_name": "query", "similarity_fn_name": "cosine"})
    make_st_old("st_old_last", "lasttoken", ["Transformer", "Pooling"], {"prompts": {}, "default_prompt_name": None})
    cases = []
    for name, folder_name, config, prompt, max_length in (
            ("st_mean", "st_mean", "st_mean/config.json", None, 0),
            ("st_mean_queries", "st_mean", "st_mean/config.json", QUERY, 0),
            ("st_mean_cut", "st_mean", "st_mean/config.json", QUERY, 12),
            ("st_last", "st_last", "st_last/config.json", None, 0),
            ("st_last_queries", "st_last", "st_last/config.json", NO_SPACE, 0),
            ("st_last_cut", "st_last", "st_last/config.json", None, 7),
            ("st_old_mean_default", "st_old_mean", "plain/v4_window.json", None, 0),
            ("st_old_mean_documents", "st_old_mean", "plain/v4_window.json", "", 0),
            ("st_old_mean_no_space", "st_old_mean", "plain/v4_window.json", NO_SPACE, 0),
            ("st_old_mean_ended_prompt", "st_old_mean", "plain/v4_window.json", ENDED, 0),
            ("st_old_mean_nothing_pooled", "st_old_mean", "plain/v4_window.json", QUERY, 12),
            ("st_old_last", "st_old_last", "plain/v5_bidirectional_window.json", None, 0),
            ("st_old_last_queries", "st_old_last", "plain/v5_bidirectional_window.json", QUERY, 0),
            ("st_old_last_nothing_pooled", "st_old_last", "plain/v5_bidirectional_window.json", QUERY, 12)):
        files = st_files(folder_name, config)
        with Folder(files) as folder:
            model = SentenceTransformer(str(folder), device="cpu")
            assert model[0].model.dtype == torch.float32 and model.max_seq_length == 40, name
            if max_length:
                model.max_seq_length = max_length
            options = dict(prompt=prompt, convert_to_tensor=True)
            alone = torch.cat([model.encode([text], **options) for text in TEXTS])
            assert (model.encode(TEXTS, **options) - alone).abs().max() < 2e-6, name
            used = model._resolve_prompt(prompt, None)
            rows = [model.preprocess([text], prompt=used) for text in TEXTS]
            ids = [row["input_ids"][0].tolist() for row in rows]
            skip = not model[1].include_prompt
            begins = [min(row.get("prompt_length", 0) if skip else 0, len(row["input_ids"][0])) for row in rows]
        for row, sequence, begin in zip(alone, ids, begins):
            assert begin < len(sequence) or row.abs().max() == 0, "nothing pooled gives zeros"
        tensors[f"vectors.{name}"] = alone.cpu()
        cases.append({"name": name, "files": files, "prompt": prompt, "max_length": max_length, "ids": ids,
                      "pool_begin": begins})
    return cases


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    torch.set_num_threads(1)
    make_plain()
    make_wide()
    make_nv_folders()
    tensors = {}
    states, bfloat16 = state_cases(tensors)
    check_sensitivity(tensors)
    vectors = nv_cases(tensors) + st_cases(tensors)
    save_file({name: value.contiguous() for name, value in tensors.items()}, OUT / "expected.safetensors")
    lists = {"texts": TEXTS, "states": states, "bfloat16": [bfloat16], "vectors": vectors}
    lists = [f'"{name}": [\n' + ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases) + "\n]"
             for name, cases in lists.items()]
    (OUT / "cases.json").write_text("{" + ",\n".join(lists) + "}\n", encoding="utf-8")


if __name__ == "__main__":
    with torch.no_grad():
        main()
