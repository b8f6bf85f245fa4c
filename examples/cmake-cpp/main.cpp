// Names what is in a picture, from its bytes: links with the library that mnc wrote.
//
// usage: detect IMAGE.ppm        binary PPM (P6) of exactly the network's size: already resized and cropped

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "person.h"

namespace {

constexpr std::array<const char *, PERSON_OUTPUT_LEN> labels = {"person", "non_person"};

// One network: its memory is one allocation, made here and nowhere else. A thread that wants its own makes another.
class Detector {
public:
    // Throws std::runtime_error.
    std::array<float, PERSON_OUTPUT_LEN> run(const std::vector<std::uint8_t> &rgb) {
        std::array<float, PERSON_OUTPUT_LEN> scores{};
        const std::size_t stride = PERSON_INPUT_WIDTH * PERSON_INPUT_CHANNELS;
        const std::int32_t status = person_run_u8(rgb.data(), stride, scores.data(), workspace->bytes);
        if (status != 0) throw std::runtime_error("person_run_u8 returned " + std::to_string(status));
        return scores;
    }

private:
    struct Workspace {
        alignas(PERSON_WORKSPACE_ALIGN) unsigned char bytes[PERSON_WORKSPACE_BYTES];
    };
    std::unique_ptr<Workspace> workspace = std::make_unique<Workspace>();
};

std::vector<std::uint8_t> read_ppm(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    std::string magic;
    int width = 0, height = 0, most = 0;
    if (!(file >> magic >> width >> height >> most) || magic != "P6" || most != 255)
        throw std::runtime_error(path + ": not a binary PPM");
    if (width != PERSON_INPUT_WIDTH || height != PERSON_INPUT_HEIGHT)
        throw std::runtime_error(path + ": not of the network's size");
    file.get(); // the one white space before the pixels
    std::vector<std::uint8_t> pixels((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    if (pixels.size() < PERSON_INPUT_LEN) throw std::runtime_error(path + ": too short");
    return pixels;
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 2) {
        std::cerr << "usage: " << argv[0] << " IMAGE.ppm\n";
        return 2;
    }
    try {
        Detector detector;
        const auto scores = detector.run(read_ppm(argv[1]));
        for (std::size_t i = 0; i < scores.size(); i++) std::printf("%10.6f  %s\n", scores[i], labels[i]);
        const auto best = std::max_element(scores.begin(), scores.end()) - scores.begin();
        std::printf("%s\n", labels[static_cast<std::size_t>(best)]);
        return 0;
    } catch (const std::exception &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
