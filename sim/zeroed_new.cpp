// SPDX-License-Identifier: Apache-2.0
// Memory that C++ asks for is zero. Tests look for keys in all of a model's memory (card_model_find), and
// between the state of the design a model has gaps that nothing ever writes: without this they show what the
// program that freed the memory before had there. The Verilated models are the only C++ here, and make their
// objects once.
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>

void *operator new(std::size_t n)
{
    void *p = std::calloc(1, n ? n : 1);
    if (!p)
        throw std::bad_alloc();
    return p;
}

void *operator new(std::size_t n, std::align_val_t align)
{
    std::size_t a = static_cast<std::size_t>(align);
    std::size_t size = (n + a - 1) / a * a;
    void *p = std::aligned_alloc(a, size ? size : a);
    if (!p)
        throw std::bad_alloc();
    return std::memset(p, 0, size);
}

void operator delete(void *p) noexcept
{
    std::free(p);
}

void operator delete(void *p, std::size_t) noexcept
{
    std::free(p);
}

void operator delete(void *p, std::align_val_t) noexcept
{
    std::free(p);
}

void operator delete(void *p, std::size_t, std::align_val_t) noexcept
{
    std::free(p);
}
