// SPDX-License-Identifier: Apache-2.0
// What the instrumented RTL (instrument.py) calls: keeps what every instance of every model of a process has
// seen, and writes it as the process ends, to a file of its own in the folder that ESPALIER_COVERAGE names.
// Lines of that file:
// "bits MODULE SIGNAL WIDTH WORD SET CLEAR CHANGED": 32 bits of a signal, seen set, seen clear, both in one
// instance; "packet LANES DIRECTION STATUS LENGTH COUNT": packets that left a pipeline; "line COUNT KEYS": a
// point of Verilator's, with its keys as SystemC::Coverage-3 has them.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <tuple>
#include <unistd.h>

#include <svdpi.h>
#include <verilated.h>
#include <verilated_cov.h>

namespace
{

struct seen {
    int width = 0;
    uint32_t set = 0, clear = 0, changed = 0;
};

struct book {
    std::map<std::pair<std::string, int>, seen> bits;
    std::map<std::tuple<int, int, int, int>, uint64_t> packets;
    std::map<std::string, uint64_t> lines;
    std::string path;

    book()
    {
        const char *folder = std::getenv("ESPALIER_COVERAGE");
        path = std::string(folder ? folder : ".") + "/" + std::to_string(getpid());
    }
    ~book()
    {
        std::ofstream out(path + ".cover");
        for (const auto &[at, s] : bits)
            out << "bits " << at.first << ' ' << s.width << ' ' << at.second << ' ' << s.set << ' ' << s.clear
                << ' ' << s.changed << '\n';
        for (const auto &[at, n] : packets)
            out << "packet " << std::get<0>(at) << ' ' << std::get<1>(at) << ' ' << std::get<2>(at) << ' '
                << std::get<3>(at) << ' ' << n << '\n';
        for (const auto &[keys, n] : lines)
            out << "line " << n << ' ' << keys << '\n';
        out.close();
        if (!out) {
            std::perror(path.c_str());
            std::_Exit(1);
        }
    }
};

book books;

} // namespace

extern "C" {

void cover_bits(const char *name, int width, int word, int ones, int zeros)
{
    seen &s = books.bits[{name, word}];
    s.width = width > s.width ? width : s.width;
    s.set |= static_cast<uint32_t>(ones);
    s.clear |= static_cast<uint32_t>(zeros);
    s.changed |= static_cast<uint32_t>(ones & zeros);
}

void cover_packet(int lanes, int direction, int status, int length)
{
    books.packets[{lanes, direction, status, length}]++;
}

// Verilator's counts of the model in which this is called, which begin afresh then.
void cover_lines()
{
    const auto *scope = static_cast<const VerilatedScope *>(svGetScope());
    VerilatedCovContext *counts = scope->symsp()->_vm_contextp__->coveragep();
    const std::string file = books.path + ".lines";
    counts->write(file.c_str());
    counts->zero();
    std::ifstream in(file);
    for (std::string text; std::getline(in, text);) {
        size_t end = text.rfind("' ");
        if (text.compare(0, 3, "C '") == 0 && end != std::string::npos)
            books.lines[text.substr(3, end - 3)] += std::strtoull(text.c_str() + end + 2, nullptr, 10);
    }
    std::remove(file.c_str());
}
}
