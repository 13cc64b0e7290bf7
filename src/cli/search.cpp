
#include "cli/options.hpp"
#include "cli/terminal.hpp"
#include "decovec/io/lines.hpp"
#include "decovec/search/top_k.hpp"
#include "io/error.hpp"
#include "io/json.hpp"

namespace decovec::cli {
namespace {

struct Options {
  ModelOptions model;
  TextOptions text;
  std::filesystem::path corpus;
  int64_t top = 5;
};

// The texts of a corpus: one a line, or the title and text of BEIR's {"_id", "title", "text"}.
std::vector<std::string> read_corpus(const std::filesystem::path& file) {
  if (file == "-") reject("--corpus: expected a file; standard input is for the queries");
  if (file.extension() != ".jsonl") return read_lines(file);
  std::vector<std::string> texts;
  for_each_line(file, [&](std::string_view line, int64_t number) {
    const std::string where = fmt::format("{}:{}", file.string(), number);
    const JsonObject document(parse_json(line, where), where);
    const std::string title = document.string("title", "");
    texts.push_back(title.empty() ? document.string("text") : title + " " + document.string("text"));
  });
  return texts;
}

// The prompt of the queries or the documents: the caller's, else the folder's of that name, if it has one.
EncodeOptions with_prompt(EncodeOptions options, const Embedder& model, const std::string& name) {
  const auto found = model.prompts.find(name);
  if (!options.prompt && found != model.prompts.end()) options.prompt = found->second;
  return options;
}

at::Tensor unit_rows(const at::Tensor& rows) { return rows / rows.norm(2, 1, true).clamp_min(1e-12); }

int run(const Options& options) {
  const std::vector<std::string> texts = read_corpus(options.corpus);
  if (texts.empty()) fail("{}: the corpus is empty; expected one text a line", options.corpus.string());
  const Embedder model = load_model(options.model);
  const EncodeOptions common = encode_options(options.text, model);

  at::Tensor corpus;
  {
    Progress progress;
    EncodeOptions encode = common;
    encode.prompt.reset();  // the caller's are for queries
    encode.suffix.clear();
    encode = with_prompt(encode, model, "document");
    encode.on_progress = [&](int64_t done, int64_t total) { progress.count("corpus", done, total); };
    corpus = unit_rows(encode_lines(model, texts, encode, options.corpus.string()));
  }

  const EncodeOptions encode = with_prompt(common, model, "query");
  const bool interactive = is_interactive();
  const std::string ask = interactive ? "search> " : "";
  if (interactive) write_stdout(fmt::format("{} texts. Type a description; Ctrl-D ends.\n", texts.size()));
  write_stdout(ask);
  for_each_line("-", [&](std::string_view line, int64_t number) {
    if (interactive && line.empty()) return write_stdout(ask);
    try {
      const at::Tensor query =
          unit_rows(encode_lines(model, {std::string(line)}, encode, "standard input", number));
      const Neighbours nearest = top_k(query, corpus, options.top);
      const int64_t* index = nearest.indices.const_data_ptr<int64_t>();
      const float* score = nearest.scores.const_data_ptr<float>();
      std::string answer = interactive ? "" : one_line(line) + "\n";
      for (int64_t rank = 0; rank < nearest.indices.size(1); ++rank)
        answer += fmt::format("{:3}  {:7.4f}  {}\n", rank + 1, score[rank],
                              one_line(texts[static_cast<size_t>(index[rank])]));
      write_stdout(answer + "\n" + ask);
    } catch (const std::runtime_error& error) {
      if (!interactive) throw;  // a person may try again
      log_error(error.what());
      write_stdout(ask);
    }
  });
  if (interactive) write_stdout("\n");
  return 0;
}

}  // namespace

Run add_search(CLI::App& program) {
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("search", "Find the texts of a corpus nearest to what is typed");
  add_model_options(*command, options->model);
  command->add_option("--corpus", options->corpus, "Texts, one a line, or .jsonl of {\"title\", \"text\"}")
      ->required()
      ->option_text("FILE (required)");
  command->add_option("--top", options->top, "How many texts to show")
      ->transform(whole_number(1, int64_t{1} << 31))
      ->option_text("K [5]");
  add_text_options(*command, options->text, "every query");
  command->footer(R"(
Queries come from standard input, one a line; each answer shows rank, cosine and text, best first. Queries and
documents get the model's prompts 'query' and 'document' where it has them; --prompt and --prompt-name
replace the first, --suffix is for queries too.

Examples:
  decovec search --model my-embedder --corpus concepts.txt
  echo "a large striped cat" | decovec search --model my-embedder --corpus concepts.txt --top 3)");
  return [options] { return run(*options); };
}

}  // namespace decovec::cli
