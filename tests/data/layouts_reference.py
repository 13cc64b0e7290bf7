#!/usr/bin/env python3
"""Makes the reference values of published embedders' folders: layouts/ (cases.json, tokenizers, vectors.safetensors).

A case is a folder as a published embedder has it, with its keys and other sizes, and the vectors of texts under prompts.
They are sentence-transformers' vectors of an equal folder that needs no remote code and no flag (`plain`: the mask as
is_causal, EOS in the tokenizer's template), or, where the embedder comes with code of its own, what that code does, said
again here on transformers' states (`grit`, `llm2vec`, `nvidia`). Weights are not stored: both sides compute them from
the tensor's name (families_reference.py).

Needs torch, transformers 5.23, sentence-transformers 6.2 and tokenizers 0.23; run it with HF_HUB_OFFLINE=1 after
model_reference.py. The tests need none of them. To add an embedder, add a row to `cases`.
"""
import json
import shutil
import tempfile
from pathlib import Path

import torch
from families_reference import tensor_list, weight
from layouts_parts import (BYTES, GEMMA, HERE, LLAMA3_ADDED, MISTRAL, QWEN_ADDED, REMOTE_TOKENIZER, SMALL, TASK, Pipeline,
                           byte_level, dense, gemma_like, llama3, llama3_config, mistral_config, pooling, qwen2_config,
                           qwen_config, sp_config, st_folder)
from model_reference import TEXTS
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from transformers import AutoModel

OUT = HERE / "layouts"
INSTRUCT = f"Instruct: {TASK}\nQuery: "


class Case:
    """A folder: JSON contents by file, a tokenizer, a backbone's config, and the prefix of its tensors' names.
    `causal` and `eos` are what the embedder was trained with, whatever the files say."""

    def __init__(self, pipeline, tokenizer_config, config, causal, around, prefix="", denses={}, **contents):
        self.pipeline, self.around, self.prefix = pipeline, around, prefix
        self.contents = {"config.json": config, "tokenizer_config.json": tokenizer_config, **contents}
        ignored = ("auto_map", "_name_or_path", "pooling", "temperature", "architectures")
        self.native = {key: value for key, value in config.items() if key not in ignored}
        self.native["model_type"] = config["model_type"].replace("llama_bidirec", "llama")
        if "use_bidirectional_attention" not in config:
            self.native["is_causal"] = causal
        self.weights = {"": [[prefix + row[0], *row[1:]] for row in tensor_list(self.native)]}
        for folder, head in denses.items():
            self.contents[f"{folder}/config.json"] = head
            rows = [[f"{folder}.weight", [head["out_features"], head["in_features"]], 2**-3, 0]]
            if head["bias"]:
                rows.append([f"{folder}.bias", [head["out_features"]], 2**-3, 0])
            self.weights[folder] = rows

    def tensors(self, folder):
        """By the names in the files; a Dense's are drawn by the name of their folder."""
        rows = {row[0]: weight(*row) for row in self.weights[folder]}
        return {"linear" + name[len(folder):]: value for name, value in rows.items()} if folder else rows

    def write(self, folder, contents, tokenizer):
        for name, content in {**contents, "tokenizer.json": tokenizer}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(json.dumps(content), encoding="utf-8")
        for place in self.weights:
            save_file(self.tensors(place), folder / place / "model.safetensors", {"format": "pt"})

    def write_plain(self, folder, changes={}):
        """The folder that sentence-transformers reads as the embedder is meant."""
        special = self.contents["tokenizer_config.json"]
        tokenizer_config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": special["model_max_length"],
                            "pad_token": special.get("pad_token") or special["eos_token"], "eos_token": special["eos_token"]}
        contents = {**self.contents, "config.json": self.native, "tokenizer_config.json": tokenizer_config, **changes}
        self.write(folder, contents, self.pipeline.with_template(*self.around))

    def states(self):
        """ids to the last states, by transformers."""
        with tempfile.TemporaryDirectory() as folder:
            self.write_plain(Path(folder))
            model, report = AutoModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        assert not report["missing_keys"] and not report["unexpected_keys"], report
        return lambda ids: model.eval()(torch.tensor([ids])).last_hidden_state[0]


# -------------------------------------------------------------------------------------------------- references


def normalised(vector):
    return torch.nn.functional.normalize(vector, dim=-1)


def plain(case, prompt=None, suffix="", chosen=None):
    """sentence-transformers' vectors; `chosen` is the Dense that takes the place of the folder's."""
    changes = {}
    if chosen:
        changes["modules.json"] = json.loads(json.dumps(case.contents["modules.json"]).replace(
            next(m["path"] for m in case.contents["modules.json"] if m["type"].endswith("Dense")), chosen))
    with tempfile.TemporaryDirectory() as folder:
        case.write_plain(Path(folder), changes)
        model = SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": torch.float32})
    # A text without any token has no vector there; decovec gives zeros, as of every pooling of nothing.
    tokens = [model.preprocess([text + suffix], prompt=prompt)["input_ids"].numel() for text in TEXTS]
    rows = [model.encode([text + suffix], prompt=prompt, convert_to_tensor=True)[0].cpu() if tokens[i] else None
            for i, text in enumerate(TEXTS)]
    return torch.stack([torch.zeros_like(rows[-1]) if row is None else row for row in rows])


def grit(case, prompt=None):
    """gritlm's encode: the mean of what follows the instruction, which is counted with its BOS."""
    states, ids = case.states(), case.pipeline.ids
    instruction = "<|embed|>\n" if prompt is None else prompt
    skipped = len(ids(instruction))
    rows = []
    for text in TEXTS:
        row = states(ids(instruction + text))
        # An empty text leaves nothing to pool: 0 / 0 there, a zero vector here.
        rows.append(normalised(row[skipped:].mean(0)) if len(row) > skipped else torch.zeros(row.shape[1]))
    return torch.stack(rows)


def llm2vec(case, prompt="", before="", after="", skip=True, last=False):
    """LLM2Vec's encode: instruction and text apart by a mark that is taken out again; the last positions are pooled, as
    many as the tokens of the text by itself."""
    states, ids = case.states(), case.pipeline.ids
    mark = "!@#$%^&*()"
    rows = []
    for text in TEXTS:
        whole = f"{prompt.strip()} {mark}{text}" if prompt else mark + text
        if before:
            whole = before + whole.strip() + after
        instruction, text_alone = whole.split(mark)
        row = states(ids(instruction + text_alone))
        count = len(ids(text_alone, special=False)) if skip else len(row)
        rows.append(row[-1] if last else row[-count:].mean(0))  # -0: all of them, as it does for an empty text
    return torch.stack(rows)


def nvidia(case, prompt="", last=False):
    states, ids = case.states(), case.pipeline.ids
    rows = [states(ids(prompt + text)) for text in TEXTS]
    return torch.stack([normalised(row[-1] if last else row.mean(0)) for row in rows])


# ------------------------------------------------------------------------------------------------------- cases


def mistral_cases(base):
    pipeline = Pipeline(base, before="<s>")
    full = ("Transformer", "Pooling", "Normalize")
    e5 = {"web_search_query": INSTRUCT, "sts_query": "Instruct: Retrieve semantically similar text.\nQuery: "}
    ended = ("<s>", "</s>")
    yield "e5_mistral", Case(pipeline, sp_config(True), mistral_config(), True, ended, **st_folder(
        full, "lasttoken", e5, 4096)), plain, [{}, {"prompt": INSTRUCT}]
    yield "sfr_2", Case(pipeline, sp_config(True), mistral_config(), True, ended, **st_folder(
        full[:2], "lasttoken", {}, 4096)), plain, [{"prompt": INSTRUCT}]
    icl = Pipeline(base, ("<instruct>", "<query>", "<response>"), before="<s>")
    query = f"<instruct>{TASK}.\n<query>"
    examples = f"{query}what is a virtual interface\n<response>A virtual interface is a software-defined one.\n\n"
    yield "bge_en_icl", Case(icl, sp_config(True), mistral_config(), True, ended, **st_folder(
        full, "lasttoken", {}, 4096)), plain, [
            {}, {"prompt": query, "suffix": "\n<response>"}, {"prompt": examples + query, "suffix": "\n<response>"}]
    remote = "GritLM/GritLM-7B--modeling_gritlm7b.Mistral"
    yield "gritlm", Case(pipeline, sp_config(False), mistral_config(
        architectures=["MistralForCausalLM"], sliding_window=None, auto_map={
            "AutoModel": remote + "Model", "AutoModelForCausalLM": remote + "ForCausalLM"}), False, ("<s>", None),
        "model."), grit, [{}, {"prompt": f"<|user|>\n{TASK}\n<|embed|>\n"}]
    turn = dict(before="[INST] ", after=" [/INST]")
    yield "llm2vec_mistral", Case(pipeline, sp_config(False), mistral_config(
        _name_or_path="mistralai/Mistral-7B-Instruct-v0.2", sliding_window=None), False, ("<s>", None), **{
            "llm2vec_config.json": {"pooling_mode": "mean", "max_length": 512, "doc_max_length": 400,
                                    "skip_instruction": True}}), llm2vec, [turn, {"prompt": f"{TASK}:", **turn}]


def qwen_cases(base):
    pipeline = Pipeline(base, QWEN_ADDED)
    end = "<|endoftext|>"
    full = ("Transformer", "Pooling", "Normalize")
    remote = {"AutoModel": "modeling_qwen.Qwen2Model", "AutoModelForCausalLM": "modeling_qwen.Qwen2ForCausalLM"}
    own_tokenizer = qwen_config(add_eos_token=True, auto_map=REMOTE_TOKENIZER)
    for name, keys in (("gte_qwen2", {"auto_map": remote, "is_causal": False}), ("gte_qwen2_early", {"auto_map": remote})):
        yield name, Case(pipeline, own_tokenizer, qwen2_config(**keys), False, (None, end), "model.", **st_folder(
            full, "lasttoken", {"query": INSTRUCT}, 8192)), plain, [{}, {"prompt": INSTRUCT}]
    sizes = {"2_Dense_24": dense(32, 24, True), "2_Dense_40": dense(32, 40, True)}
    s2p = f"Instruct: {TASK}.\nQuery: "
    yield "stella", Case(pipeline, own_tokenizer, qwen2_config(auto_map=remote), False, (None, end), "model.", sizes,
                         **st_folder(("Transformer", "Pooling", "Dense"), "mean_tokens", {"s2p_query": s2p},
                                     paths={"Dense": "2_Dense_24"})), plain, [
        {}, {"prompt": s2p}, {"prompt": s2p, "chosen": "2_Dense_40"}]
    template = Pipeline(base, QWEN_ADDED, after=end)
    query = f"Instruct: {TASK}\nQuery:"
    yield "qwen3_embedding", Case(template, qwen_config(add_bos_token=False, model_max_length=131072, eos_token="<|im_end|>"),
                                  qwen2_config(model_type="qwen3", architectures=["Qwen3ForCausalLM"], head_dim=12,
                                               attention_bias=False, max_position_embeddings=32768),
                                  True, (None, end), **{**st_folder(full, "lasttoken", {"query": query, "document": ""}),
                                                        "sentence_bert_config.json": {}}), plain, [{}, {"prompt": query}]
    kalm = "Instruct: Given a query, retrieve documents that answer the query. \n Query: "
    yield "kalm_v1", Case(pipeline, qwen_config(), qwen2_config(tie_word_embeddings=True), True, (None, None),
                          **st_folder(full[:2], "mean_tokens")), plain, [{}, {"prompt": kalm}]
    yield "qzhou", Case(pipeline, qwen_config(), qwen2_config(auto_map={"AutoModel": "modeling_qzhou.QZhouModel"}), False,
                        (None, None), **st_folder(full, "mean_tokens")), plain, [{}, {"prompt": query}]


def llama_cases(base):
    begin = "<|begin_of_text|>"
    pipeline = Pipeline(base, LLAMA3_ADDED, before=begin)
    llm = {"AutoModel": "McGill-NLP/LLM2Vec-Meta-Llama-3-8B-Instruct-mntp--modeling_llama_encoder.LlamaEncoderModel"}
    turn = dict(before="<|start_header_id|>user<|end_header_id|>\n\n", after="<|eot_id|>")
    instruction = f"{TASK}:"
    yield "llm2vec_llama3", Case(pipeline, llama3_config(), llama3(
        _name_or_path="meta-llama/Meta-Llama-3-8B-Instruct", architectures=["LlamaEncoderModel"], auto_map=llm,
        rope_scaling=None), False, (begin, None)), llm2vec, [turn, {"prompt": instruction, **turn}]
    yield "llm2vec_base", Case(pipeline, llama3_config(), llama3(_name_or_path="somewhere", auto_map=llm), False,
                               (begin, None)), llm2vec, [{}, {"prompt": instruction}]
    remote = {"AutoConfig": "llama_bidirectional_model.LlamaBidirectionalConfig",
              "AutoModel": "llama_bidirectional_model.LlamaBidirectionalModel"}
    for name, mode in (("nv_embedqa", "avg"), ("nv_embedqa_last", "last")):
        rows = [{"prompt": "query: "}, {"prompt": "passage: "}]
        yield name, Case(pipeline, llama3_config(), llama3(
            model_type="llama_bidirec", architectures=["LlamaBidirectionalModel"], auto_map=remote, pooling=mode, head_dim=8,
            tie_word_embeddings=True), False, (begin, None)), nvidia, [{**row, "last": mode == "last"} for row in rows]
    yield "reasonir", Case(pipeline, llama3_config(), llama3(auto_map={
        "AutoModel": "modeling_reasonir_8b.ReasonIRModel"}), False, (begin, None)), grit, [
            {}, {"prompt": f"<|user|>\n{TASK}\n<|embed|>\n"}]


def gemma_cases(base):
    names = {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<unk>",
             "model_max_length": 2048, "tokenizer_class": "GemmaTokenizer", "add_bos_token": True, "add_eos_token": True}
    around = ("<bos>", "<eos>")
    shared = {"attention_bias": False, "attention_dropout": 0.0, "hidden_activation": "gelu_pytorch_tanh", "head_dim": 12,
            "initializer_range": 0.02, "query_pre_attn_scalar": 16, "rms_norm_eps": 1e-06, "torch_dtype": "float32", **SMALL}
    embedding = {**shared, "model_type": "gemma3_text", "architectures": ["Gemma3TextModel"], "_sliding_window_pattern": 6,
                 "attn_logit_softcapping": None, "final_logit_softcapping": None, "max_position_embeddings": 2048,
                 "layer_types": ["sliding_attention", "full_attention"], "rope_local_base_freq": 10000.0,
                 "rope_scaling": None, "rope_theta": 1000000.0, "sliding_window": 8, "use_bidirectional_attention": True}
    query = "task: search result | query: "
    folder = st_folder(("Transformer", "Pooling", "Dense"), "mean_tokens",
                       {"query": query, "document": "title: none | text: ", "Clustering": "task: clustering | query: "}, 2048)
    folder["modules.json"] = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{path[2:] or 'Transformer'}"}
        for i, path in enumerate(("", "1_Pooling", "2_Dense", "3_Dense", "4_Normalize"))]
    yield "embeddinggemma", Case(Pipeline(base, before="<bos>", after="<eos>"), names, embedding, False, around,
                                 denses={"2_Dense": dense(32, 48, False), "3_Dense": dense(48, 32, False)}, **folder), plain, [
        {}, {"prompt": query}]
    bge = {**shared, "model_type": "gemma2", "architectures": ["Gemma2Model"], "attn_logit_softcapping": 50.0,
           "final_logit_softcapping": 30.0, "cache_implementation": "hybrid", "hidden_act": "gelu_pytorch_tanh",
           "max_position_embeddings": 8192, "rope_theta": 10000.0, "sliding_window": 4096}
    query = f"<instruct>{TASK}.\n<query>"
    yield "bge_multilingual_gemma2", Case(
        Pipeline(base, ("<instruct>", "<query>"), before="<bos>"), {**names, "model_max_length": 8192}, bge, True, around,
        **st_folder(("Transformer", "Pooling", "Normalize"), "lasttoken", {}, 8192)), plain, [{}, {"prompt": query}]


def cases(mistral=MISTRAL, qwen=BYTES, llama=BYTES, gemma=GEMMA):
    """name, case, reference, calls of it; the arguments are tokenizer.json files."""
    yield from mistral_cases(mistral)
    yield from qwen_cases(qwen)
    yield from llama_cases(llama)
    yield from gemma_cases(gemma)


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    torch.set_num_threads(1)
    mistral = json.loads((HERE / MISTRAL).read_text(encoding="utf-8"))
    (HERE / BYTES).write_text(compact(byte_level()) + "\n", encoding="utf-8")
    (HERE / GEMMA).write_text(compact(gemma_like(mistral)) + "\n", encoding="utf-8")
    tensors, rows = {}, []
    for name, case, reference, calls in cases():
        used = []
        for i, call in enumerate(calls):
            vectors = reference(case, **call)
            assert vectors.isfinite().all() and vectors[0].std() > 1e-2, name
            tensors[f"{name}.{i}"] = vectors
            own = {key: call[key] for key in ("prompt", "suffix", "chosen") if key in call}
            used.append({{"chosen": "dense"}.get(key, key): value for key, value in own.items()})
        # The mask matters: the vectors of the other one are far off.
        if "is_causal" in case.native:
            case.native["is_causal"] = not case.native["is_causal"]
            assert (reference(case, **calls[-1]) - tensors[f"{name}.{len(calls) - 1}"]).abs().max() > 1e-3, name
        rows.append({"name": name, "contents": case.contents, "tokenizer": case.pipeline.case, "weights": case.weights,
                     "calls": used})
        print(name, flush=True)
    save_file({name: value.contiguous() for name, value in tensors.items()}, OUT / "vectors.safetensors")
    lines = ",\n".join(compact(row) for row in rows)
    (OUT / "cases.json").write_text(f'{{"texts": {compact(TEXTS)},\n"cases": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    with torch.no_grad():
        main()
