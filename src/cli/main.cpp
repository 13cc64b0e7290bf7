#include <algorithm>

#include "cli/options.hpp"
#include "cli/terminal.hpp"

namespace {
namespace cli = decovec::cli;

constexpr const char* kFooter =
    R"(Exit status: 0; 1 for a failure, told on standard error; 2 for wrong usage; 130 after Ctrl-C.
A reader of standard output that goes away ends the program quietly with status 0.

Examples:
  decovec embed --model my-embedder --input texts.txt --output vectors.npy
  decovec train recipe.toml
  decovec evaluate --model my-embedder tasks/retrieval tasks/similarity
  decovec search --model my-embedder --corpus concepts.txt

'decovec COMMAND --help' tells more.)";

constexpr const char* kNoCommand =
    "expected a command: embed, tokenize, train, evaluate, search, info or verify";

int wrong_usage(const std::string& message, const std::string& command) {
  cli::log_error(fmt::format("{}; see '{} --help'", message, command));
  return 2;
}

// Last first, as CLI11 wants them. "--prompt=" becomes "--prompt" "": CLI11 finds no value in it.
std::vector<std::string> arguments(int argc, char** argv) {
  std::vector<std::string> list;
  for (int i = argc - 1; i > 0; --i) {
    std::string argument = argv[i];
    if (argument.starts_with("--") && argument.find('=') + 1 == argument.size()) {
      argument.pop_back();
      list.emplace_back();
    }
    list.push_back(std::move(argument));
  }
  return list;
}

int run(int argc, char** argv) {
  CLI::App program("Text embedders from decoder-only language models.", "decovec");
  program.set_version_flag("--version", "decovec " DECOVEC_VERSION);
  program.footer(kFooter);
  program.fallthrough(false);
  program.require_subcommand(0, 1);  // none is told below
  const std::vector<cli::Run> runs = {cli::add_embed(program),  cli::add_tokenize(program),
                                      cli::add_train(program),  cli::add_evaluate(program),
                                      cli::add_search(program), cli::add_info(program),
                                      cli::add_verify(program)};
  const std::vector<CLI::App*> commands = program.get_subcommands([](CLI::App*) { return true; });
  const auto chosen = [&]() -> const CLI::App* {
    const auto parsed = program.get_subcommands();
    return parsed.empty() ? nullptr : parsed.front();
  };
  try {
    program.parse(arguments(argc, argv));
  } catch (const CLI::Success& asked) {  // --help, --version
    std::ostringstream text;
    program.exit(asked, text, text);
    cli::write_stdout(text.str());
    return 0;
  } catch (const CLI::ParseError& error) {
    if (!chosen()) return wrong_usage(fmt::format("{}; {}", error.what(), kNoCommand), "decovec");
    const std::string command = "decovec " + chosen()->get_name();
    const bool says_model = std::any_of(argv, argv + argc, [](const char* argument) {
      return std::string_view(argument).starts_with("--model");
    });
    if (says_model && chosen()->get_option_no_throw("DIR") != nullptr)
      return wrong_usage(fmt::format("the model's folder stands alone, without --model: {} DIR", command),
                         command);
    return wrong_usage(error.what(), command);
  }
  for (size_t i = 0; i < commands.size(); ++i)
    if (commands[i] == chosen()) return runs[i]();
  return wrong_usage(kNoCommand, "decovec");
}

}  // namespace

int main(int argc, char** argv) {
  cli::prepare_process();
  try {
    return run(argc, argv);
  } catch (const cli::ClosedPipe&) {
    return 0;
  } catch (const cli::Interrupted&) {
    return cli::interrupted_status();
  } catch (const std::exception& error) {
    cli::log_error(error.what());
    return 1;
  }
}
