// Allocates in some ways that differ: kept and freed, inlined, by the standard library, in another
// thread, from a deep stack, grown and cleared.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

static std::vector<char*> kept;

__attribute__((noinline)) char* block(std::size_t size) {
    return static_cast<char*>(std::memset(std::malloc(size), 1, size));
}

static inline __attribute__((always_inline)) char* twice(std::size_t size) { return block(size * 2); }

// Keeps every tenth block.
__attribute__((noinline)) void churn(int rounds) {
    for (int at = 0; at < rounds; ++at) {
        char* one = at % 2 ? block(100) : twice(100);
        if (at % 10 == 0) kept.push_back(one); else std::free(one);
    }
}

__attribute__((noinline)) std::map<int, std::string> names(int count) {
    std::map<int, std::string> all;
    for (int at = 0; at < count; ++at) all[at] = "too long to be kept in place: " + std::to_string(at);
    return all;
}

__attribute__((noinline)) int descend(int depth) {
    if (depth == 0) { churn(100); return 0; }
    return descend(depth - 1) + 1;
}

int main() {
    churn(1000);
    auto* all = new std::map<int, std::string>(names(200));
    std::thread other([] { churn(500); });
    other.join();
    std::printf("%zu %zu %d\n", kept.size(), all->size(), descend(20));
    void* grown = std::realloc(std::malloc(10), 5000);
    std::free(std::calloc(7, 11));
    return grown == nullptr;
}
