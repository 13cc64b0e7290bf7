// The measuring of tasks once their texts are vectors [N, D]: no model, no files.
#pragma once
#include <cstdint>

#include <ATen/core/Tensor.h>

#include "decovec/eval/tasks.hpp"

namespace decovec {

TaskReport measure(const RetrievalTask& task, const at::Tensor& queries, const at::Tensor& documents,
                   int64_t top);
TaskReport measure(const ClassificationTask& task, const at::Tensor& train, const at::Tensor& test);
TaskReport measure(const ClusteringTask& task, const at::Tensor& texts);
TaskReport measure(const SimilarityTask& task, const at::Tensor& first, const at::Tensor& second);

}  // namespace decovec
