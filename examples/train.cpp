// The README's second example: a recipe to a model folder.
#include <decovec/decovec.hpp>
#include <iostream>

int main(int argc, char** argv) {
  if (argc != 2) return std::cerr << "usage: train RECIPE.toml\n", 2;
  // [README]
  auto recipe = decovec::Recipe::load(argv[1]);
  if (std::filesystem::exists(recipe.output)) return std::cerr << recipe.output << ": exists already\n", 1;
  auto model = decovec::starting_model(recipe);
  decovec::train(model, recipe, {.checkpoints = recipe.output.string() + ".checkpoint",
                                 .on_step = [](const decovec::StepReport& step) {
                                   std::cout << step.stage << " " << step.step << ": loss " << step.loss << "\n";
                                 }});
  model.save(recipe.output, recipe.dtype);
  // [README]
}
