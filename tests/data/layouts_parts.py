#!/usr/bin/env python3
"""What layouts_reference.py makes folders of: tokenizers, and the keys of published configs with small sizes."""
import copy
import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

HERE = Path(__file__).resolve().parent
WORDNET = Path("/usr/share/wordnet/data.noun")
VOCABULARY = 840  # a few more rows than any tokenizer here has
SMALL = dict(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2)
TASK = "Given a web search query, retrieve relevant passages that answer the query"

# ------------------------------------------------------------------------------------------------- tokenizers

QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_level():
    """Qwen's pipeline, with few merges."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN), behavior="isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    lines = WORDNET.read_text(encoding="latin-1").splitlines()[:20000]
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return json.loads(tokenizer.to_str())


def gemma_like(mistral):
    """Gemma's pipeline over the pieces of the sentencepiece fixture."""
    renamed = {"<s>": "<bos>", "</s>": "<eos>"}
    made = copy.deepcopy(mistral)
    made["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    made["pre_tokenizer"] = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    made["model"]["vocab"] = {renamed.get(piece, piece): i for piece, i in made["model"]["vocab"].items()}
    for token in made["added_tokens"]:
        token["content"] = renamed.get(token["content"], token["content"])
    return made


class Pipeline:
    """A tokenizer.json made of a base by new added tokens and a new template."""

    def __init__(self, base, added=(), before=None, after=None):
        self.case = {"base": base, "set": {}}
        tokenizer = Tokenizer.from_str((HERE / base).read_text(encoding="utf-8"))
        tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in added])
        self.around(tokenizer, before, after)
        made = json.loads(tokenizer.to_str())
        for key in ("added_tokens", "post_processor"):
            self.case["set"][key] = made[key]
        self.bare, self.json = tokenizer, made

    @staticmethod
    def around(tokenizer, before, after):
        names = [name for name in (before, after) if name]
        single = " ".join(([before] if before else []) + ["$A"] + ([after] if after else []))
        tokenizer.post_processor = processors.TemplateProcessing(
            single=single, special_tokens=[(name, tokenizer.token_to_id(name)) for name in names]
        ) if names else processors.ByteLevel(trim_offsets=False)

    def with_template(self, before, after):
        tokenizer = Tokenizer.from_str(json.dumps(self.json))
        self.around(tokenizer, before, after)
        return json.loads(tokenizer.to_str())

    def ids(self, text, special=True):
        return self.bare.encode(text, add_special_tokens=special).ids


MISTRAL, BYTES, GEMMA = "models/st_old_mean/tokenizer.json", "layouts/bytes.json", "layouts/gemma.json"


def sp_config(eos, **keys):
    """tokenizer_config.json of Mistral-7B's descendants."""
    return {"add_bos_token": True, "add_eos_token": eos, "bos_token": "<s>", "clean_up_tokenization_spaces": False,
            "eos_token": "</s>", "legacy": True, "model_max_length": 1000000000000000019884624838656,
            "pad_token": "</s>", "sp_model_kwargs": {}, "spaces_between_special_tokens": False,
            "tokenizer_class": "LlamaTokenizer", "unk_token": "<unk>", "use_default_system_prompt": False, **keys}


def qwen_config(**keys):
    """tokenizer_config.json of Qwen2's descendants."""
    return {"add_prefix_space": False, "additional_special_tokens": ["<|im_start|>", "<|im_end|>"], "bos_token": None,
            "clean_up_tokenization_spaces": False, "eos_token": "<|endoftext|>", "errors": "replace",
            "model_max_length": 32768, "pad_token": "<|endoftext|>", "split_special_tokens": False,
            "tokenizer_class": "Qwen2Tokenizer", "unk_token": None, **keys}


QWEN_ADDED = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
REMOTE_TOKENIZER = {"AutoTokenizer": ["tokenization_qwen.Qwen2Tokenizer", "tokenization_qwen.Qwen2TokenizerFast"]}
LLAMA3_ADDED = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")


def llama3_config(**keys):
    return {"bos_token": "<|begin_of_text|>", "clean_up_tokenization_spaces": True, "eos_token": "<|eot_id|>",
            "model_input_names": ["input_ids", "attention_mask"], "model_max_length": 131072,
            "tokenizer_class": "PreTrainedTokenizerFast", **keys}


# ---------------------------------------------------------------------------------------------------- configs


def mistral_config(**keys):
    return {"architectures": ["MistralModel"], "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2,
            "hidden_act": "silu", "initializer_range": 0.02, "max_position_embeddings": 32768, "model_type": "mistral",
            "pad_token_id": 2, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 4096,
            "tie_word_embeddings": False, "torch_dtype": "float32", "use_cache": False, **SMALL, **keys}


def qwen2_config(**keys):
    return {"architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "hidden_act": "silu",
            "initializer_range": 0.02, "max_position_embeddings": 131072, "max_window_layers": 1, "model_type": "qwen2",
            "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 131072, "tie_word_embeddings": False,
            "torch_dtype": "float32", "use_cache": True, "use_sliding_window": False, **SMALL, **keys}


def llama3(**keys):
    return {"architectures": ["LlamaModel"], "attention_bias": False, "attention_dropout": 0.0, "hidden_act": "silu",
            "initializer_range": 0.02, "max_position_embeddings": 131072, "mlp_bias": False, "model_type": "llama",
            "pretraining_tp": 1, "rms_norm_eps": 1e-05,
            "rope_scaling": {"factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                             "original_max_position_embeddings": 8192, "rope_type": "llama3"},
            "rope_theta": 500000.0, "tie_word_embeddings": False, "torch_dtype": "float32", "use_cache": True,
            **SMALL, **keys}


def modules(*kinds, paths={}):
    return [{"idx": i, "name": str(i), "path": paths.get(kind, f"{i}_{kind}") if i else "",
             "type": f"sentence_transformers.models.{kind}"} for i, kind in enumerate(kinds)]


def pooling(mode, **keys):
    flags = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    return {"word_embedding_dimension": SMALL["hidden_size"], **{f"pooling_mode_{flag}": flag == mode for flag in flags},
            "include_prompt": True, **keys}


def settings(prompts={}, **keys):
    return {"__version__": {"sentence_transformers": "3.0.1", "transformers": "4.41.2", "pytorch": "2.3.0+cu121"},
            "prompts": prompts, "default_prompt_name": None, **keys}


def dense(inner, outer, bias):
    return {"in_features": inner, "out_features": outer, "bias": bias,
            "activation_function": "torch.nn.modules.linear.Identity"}


def st_folder(chain, mode, prompts={}, max_length=512, paths={}, **files):
    return {"modules.json": modules(*chain, paths=paths), "1_Pooling/config.json": pooling(mode),
            "sentence_bert_config.json": {"max_seq_length": max_length, "do_lower_case": False},
            "config_sentence_transformers.json": settings(prompts), **files}
