#include "cli/options.hpp"

#include <charconv>
#include <unistd.h>

#include <ATen/core/grad_mode.h>

#include "cli/terminal.hpp"
#include "io/error.hpp"

namespace decovec::cli {
namespace {

constexpr int64_t kMost = int64_t{1} << 40;

at::ScalarType parse_dtype(const std::string& name) {
  if (name == "bfloat16") return at::kBFloat16;
  if (name == "float16") return at::kHalf;
  return at::kFloat;
}

Attention parse_attention(const std::string& name) {
  return name == "causal" ? Attention::causal : Attention::bidirectional;
}

std::vector<std::string> pooling_names() {
  std::vector<std::string> names;
  for (Pooling pooling : all_poolings()) names.emplace_back(name_of(pooling));
  return names;
}

Pooling parse_pooling(const std::string& name) {
  for (Pooling pooling : all_poolings())
    if (name_of(pooling) == name) return pooling;
  reject("--pooling: unknown name '{}'", name);
}

void add_choice(CLI::App& command, const std::string& flag, std::string& value,
                const std::vector<std::string>& choices, const std::string& what) {
  const std::string shown =
      fmt::format("{}{}", fmt::join(choices, "|"), value.empty() ? "" : " [" + value + "]");
  command.add_option(flag, value, what)->check(CLI::IsMember(choices))->option_text(shown);
}

// \n is a line break and \\ a backslash, as in a recipe; a shell's own line breaks stay.
std::string unescaped(const std::string& text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    const char next = text[i] == '\\' && i + 1 < text.size() ? text[i + 1] : '\0';
    result += next == 'n' ? '\n' : text[i];
    if (next == 'n' || next == '\\') ++i;
  }
  return result;
}

// What can be told of a vector of zeros.
std::string why_zero(const Embedder& model, const std::string& text, const EncodeOptions& options) {
  const at::NoGradGuard no_graph;
  const TokenSequence sequence = model.sequence(options.prompt.value_or(model.default_instruction()),
                                                text + options.suffix, options.truncate, options.max_length);
  const auto length = static_cast<int64_t>(sequence.ids.size());
  if (sequence.pool_begin >= length) return "none of the text's tokens is pooled; is it empty?";
  const TokenBatch batch = pack({sequence}, length, model.device()).front().batch;
  Embedder bare = model;
  bare.heads.clear();
  if (!bare.embed(batch).any().item<bool>())
    return "the decoder's states are zero, or were too large for their norm; check the model's weights";
  for (const Head& head : model.heads)
    if (!std::holds_alternative<Normalize>(head)) bare.heads.push_back(head);
  const at::Tensor unscaled = bare.embed(batch);
  if (!unscaled.any().item<bool>()) return "a Dense makes it zero; check the module's weights";
  return fmt::format(
      "its values reach {:.3g} before they are normalised, which float32 has no norm for; did the training "
      "diverge?",
      unscaled.abs().max().item<double>());
}

}  // namespace

CLI::Validator not_empty(const std::string& what) {
  return {[=](const std::string& text) {
            return text.empty() ? fmt::format("expected {}, got an empty name", what) : "";
          },
          ""};
}

CLI::Validator whole_number(int64_t minimum, int64_t maximum) {
  return {
      [=](std::string& text) -> std::string {
        int64_t value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error != std::errc() || end != text.data() + text.size() || value < minimum || value > maximum)
          return fmt::format("expected a whole number from {} to {}, got '{}'", minimum, maximum, text);
        text = std::to_string(value);  // what CLI11 reads would be octal after a 0
        return "";
      },
      ""};
}

void add_device_option(CLI::App& command, std::string& device) {
  add_choice(command, "--device", device, {"cpu", "cuda"}, "Where to compute");
}

void add_model_options(CLI::App& command, ModelOptions& options, bool positional) {
  command.add_option(positional ? "DIR" : "--model", options.folder, "Model folder")
      ->required()
      ->check(not_empty("a folder"))
      ->option_text(positional ? "(required)" : "DIR (required)");
  add_choice(command, "--attention", options.attention, {"causal", "bidirectional"},
             "Mask, instead of the folder's");
  add_choice(command, "--pooling", options.pooling, pooling_names(),
             "Pooling, where the folder says none or instead of it");
  command.add_option("--adapter", options.adapters, "Adapter folder of PEFT to apply; may be repeated")
      ->allow_extra_args(false)
      ->check(not_empty("a folder"))
      ->option_text("DIR");
  command
      .add_option("--base", options.base, "The base model's folder, where the model folder is an adapter's")
      ->check(not_empty("a folder"))
      ->option_text("DIR");
  command
      .add_option(
          "--dense", options.dense,
          "Folder of the Dense to use, where the model has several (2_Dense_2048) [the folder's choice]")
      ->check(not_empty("a folder's name"))
      ->option_text("NAME");
  add_choice(command, "--dtype", options.dtype, {"auto", "float32", "bfloat16", "float16"},
             "Weights in memory; auto: the folder's");
  add_device_option(command, options.device);
}

void add_input_option(CLI::App& command, std::filesystem::path& input) {
  command.add_option("--input", input, "Texts, one a line; - is standard input")->option_text("FILE|- [-]");
}

void add_sequence_options(CLI::App& command, TextOptions& options, const std::string& prompted) {
  CLI::Option* prompt =
      command
          .add_option("--prompt", options.prompt, "Put before " + prompted + "; \\n in it is a line break")
          ->option_text("TEXT");
  command
      .add_option("--prompt-name", options.prompt_name,
                  "The same, by its name in the model folder (see info)")
      ->option_text("NAME")
      ->excludes(prompt);
  command.add_option("--suffix", options.suffix, "Put after " + prompted + "; \\n in it is a line break")
      ->option_text("TEXT");
  command
      .add_option("--max-length", options.max_length,
                  "Longest text in ids, special ones counted [the model's]")
      ->transform(whole_number(1, kMost))
      ->option_text("N");
  add_choice(command, "--truncate", options.truncate, {"error", "right"},
             "A longer text: refused, or cut at its end");
}

void add_text_options(CLI::App& command, TextOptions& options, const std::string& prompted) {
  add_sequence_options(command, options, prompted);
  command
      .add_option("--dimensions", options.dimensions,
                  "Columns kept of each vector, which is then normalised again [the model's, as they are]")
      ->transform(whole_number(1, kMost))
      ->option_text("N");
  add_batch_option(command, options.batch_tokens);
}

void add_batch_option(CLI::App& command, int64_t& batch_tokens) {
  command.add_option("--batch-tokens", batch_tokens, "Tokens computed at once: memory, not the result")
      ->transform(whole_number(1, kMost))
      ->option_text(fmt::format("N [{}]", batch_tokens));
}

Embedder load_model(const ModelOptions& options) {
  LoadOptions load;
  load.fresh_weights = false;
  load.device = at::Device(options.device);
  if (options.dtype != "auto") load.dtype = parse_dtype(options.dtype);
  if (!options.attention.empty()) load.attention = parse_attention(options.attention);
  load.dense = options.dense;
  if (!options.pooling.empty()) load.pooling = parse_pooling(options.pooling);
  load.adapters = options.adapters;
  load.base = options.base;
  return Embedder::load(options.folder, load);
}

EncodeOptions encode_options(const TextOptions& options, const Embedder& model) {
  EncodeOptions encode;
  if (options.prompt) encode.prompt = unescaped(*options.prompt);
  encode.suffix = unescaped(options.suffix);
  if (options.prompt_name) encode.prompt = model.prompt(*options.prompt_name);
  encode.max_length = options.max_length;
  encode.dimensions = options.dimensions;
  if (encode.dimensions > model.dimensions())
    reject("--dimensions: expected at most the model's {}, got {}", model.dimensions(), encode.dimensions);
  encode.truncate = options.truncate == "right" ? Truncate::right : Truncate::error;
  encode.batch_tokens = options.batch_tokens;
  return encode;
}

at::Tensor encode_lines(const Embedder& model, const std::vector<std::string>& texts,
                        const EncodeOptions& options, const std::string& file, int64_t first_line) {
  model.check_room(options);
  try {
    const at::Tensor rows = model.encode(texts, options);
    const at::Tensor zero = rows.eq(0).all(1);
    if (zero.any().item<bool>()) {
      const int64_t first = zero.to(at::kInt).argmax().item<int64_t>();
      log_warning(fmt::format("{}:{}: the vector is zero ({} such here): {}", file, first_line + first,
                              zero.sum().item<int64_t>(),
                              why_zero(model, texts[static_cast<size_t>(first)], options)));
    }
    return rows;
  } catch (const TextError& error) {
    fail_line(file, first_line + error.text, error.reason);
  }
}

void fail_line(const std::string& file, int64_t line, const std::string& reason) {
  fail("{}:{}: {} (--max-length N, --truncate right)", file, line, reason);
}

std::filesystem::path input_file(const std::filesystem::path& input) {
  if (input == "-" && ::isatty(STDIN_FILENO) == 1)
    log_info("reading texts from the keyboard, one a line; Ctrl-D ends");
  return input;
}

std::string shown_name(const std::filesystem::path& file) {
  return file == "-" ? "standard input" : file.string();
}

const char* name_of(Attention attention) {
  return attention == Attention::causal ? "causal" : "bidirectional";
}

const char* name_of(FolderLayout layout) {
  switch (layout) {
    case FolderLayout::plain_decoder:
      return "plain_decoder";
    case FolderLayout::nv_embed:
      return "nv_embed";
    case FolderLayout::sentence_transformers:
      return "sentence_transformers";
    case FolderLayout::known_embedder:
      return "known_embedder";
  }
  return "";
}

const char* name_of(EndOfText eos) {
  switch (eos) {
    case EndOfText::none:
      return "none";
    case EndOfText::kept:
      return "kept";
    case EndOfText::cut:
      return "cut";
  }
  return "";
}

const char* name_of(InstructionPooling instruction) {
  switch (instruction) {
    case InstructionPooling::pooled:
      return "pooled";
    case InstructionPooling::nv_embed:
      return "nv_embed";
    case InstructionPooling::sentence_transformers:
      return "sentence_transformers";
    case InstructionPooling::llm2vec:
      return "llm2vec";
  }
  return "";
}

const char* name_of(at::ScalarType dtype) {
  if (dtype == at::kFloat) return "float32";
  if (dtype == at::kBFloat16) return "bfloat16";
  return dtype == at::kHalf ? "float16" : at::toString(dtype);
}

}  // namespace decovec::cli
