// Runs a .pte so many times on each clip of a file, float32, and writes what it says.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <vector>

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

int main(int count, char** words) {
  if (count != 8) return std::fprintf(stderr, "arm64_run MODEL CLIPS N MELS FRAMES TIMES OUT\n"), 2;
  const int clips = std::atoi(words[3]), mels = std::atoi(words[4]), frames = std::atoi(words[5]);
  const int times = std::atoi(words[6]);
  std::vector<float> heard(static_cast<size_t>(clips) * mels * frames);
  const auto bytes = static_cast<std::streamsize>(heard.size() * sizeof(float));
  if (!std::ifstream(words[2], std::ios::binary).read(reinterpret_cast<char*>(heard.data()), bytes)) return 1;
  std::ofstream out(words[7], std::ios::binary);
  executorch::extension::Module module(words[1]);
  for (int clip = 0; clip < clips; ++clip) {
    float* const own = heard.data() + static_cast<size_t>(clip) * mels * frames;
    const auto input = executorch::extension::from_blob(own, {1, 1, mels, frames});
    for (int time = 1; time < times; ++time) (void)module.forward(input);
    const auto said = module.forward(input);
    if (!said.ok()) return std::fprintf(stderr, "error %d\n", static_cast<int>(said.error())), 1;
    for (const auto& value : *said) {
      const auto& tensor = value.toTensor();
      const auto size = static_cast<std::streamsize>(tensor.numel() * sizeof(float));
      out.write(reinterpret_cast<const char*>(tensor.const_data_ptr<float>()), size);
    }
  }
}
