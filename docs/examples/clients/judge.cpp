// Judge a photograph with the detector of an exported inspector: C++17, onnxruntime alone.
//
//   g++ -std=c++17 -O2 judge.cpp -lonnxruntime -o judge
//   magick photo.jpg photo.ppm && ./judge EXPORTED/detector.onnx photo.ppm
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

using Bytes = std::vector<uint8_t>;

// Scale one axis of an image, rows x length x inner bytes, as Pillow's bilinear filter with antialiasing does.
Bytes scaled(const Bytes& image, int rows, int length, int inner, int wanted) {
    Bytes result(size_t(rows) * wanted * inner);
    const double scale = double(length) / wanted, support = std::max(scale, 1.0);
    for (int at = 0; at < wanted; ++at) {
        const double centre = (at + 0.5) * scale;
        const int low = std::max(0, int(centre - support + 0.5)), high = std::min(length, int(centre + support + 0.5));
        std::vector<double> weights;
        double total = 0;
        for (int x = low; x < high; ++x) {
            weights.push_back(std::max(0.0, 1 - std::abs(x + 0.5 - centre) / support));
            total += weights.back();
        }
        for (int row = 0; row < rows; ++row)
            for (int i = 0; i < inner; ++i) {
                double sum = 0.5 * total;  // it is rounded
                for (int x = low; x < high; ++x)
                    sum += weights[x - low] * image[(size_t(row) * length + x) * inner + i];
                result[(size_t(row) * wanted + at) * inner + i] = uint8_t(sum / total);
            }
    }
    return result;
}

int main(int count, char** arguments) {
    if (count != 3) return std::cerr << "judge EXPORTED/detector.onnx PHOTOGRAPH.ppm\n", 2;
    std::ifstream file(arguments[2], std::ios::binary);
    std::string kind;
    int width = 0, height = 0, most = 0;
    file >> kind >> width >> height >> most;
    file.get();
    if (!file || kind != "P6" || most != 255) return std::cerr << arguments[2] << ": no binary PPM of 8 bits\n", 2;
    Bytes photograph(size_t(3) * width * height);
    file.read(reinterpret_cast<char*>(photograph.data()), photograph.size());

    Ort::Env environment;
    Ort::Session session(environment, arguments[1], Ort::SessionOptions{});
    const auto shape = session.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetShape();
    const int side = int(shape[2]);
    const Bytes square = scaled(scaled(photograph, height, width, 3, side), 1, height, 3 * side, side);
    Bytes images(square.size());  // channels first
    for (size_t i = 0; i < square.size(); ++i) images[i % 3 * side * side + i / 3] = square[i];

    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const std::vector<int64_t> sizes{1, 3, side, side};
    auto input = Ort::Value::CreateTensor<uint8_t>(memory, images.data(), images.size(), sizes.data(), sizes.size());
    const char *inputs[] = {"images"}, *outputs[] = {"scores"};
    auto found = session.Run(Ort::RunOptions{}, inputs, &input, 1, outputs, 1);
    const float score = found[0].GetTensorData<float>()[0];
    Ort::AllocatorWithDefaultOptions allocator;
    const auto told = session.GetModelMetadata().LookupCustomMetadataMapAllocated("hw3.threshold", allocator);
    const double threshold = std::stod(told.get());
    std::cout << arguments[2] << (score > threshold ? " anomalous " : " good ") << score << '\n';
    return score > threshold ? 3 : 0;
}
