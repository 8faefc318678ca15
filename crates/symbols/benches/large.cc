#include <regex>
#include <map>
#include <unordered_map>
#include <string>
#include <vector>
#include <algorithm>
#include <functional>
#include <memory>
#include <sstream>
#include <iostream>
#include <future>

struct Record {
    std::string name;
    std::map<std::string, std::vector<int>> values;
    std::unordered_map<int, std::shared_ptr<Record>> children;
};

int parse(const std::string& text, Record& record) {
    static const std::regex line("([a-z]+)=([0-9,]+)(;|$)");
    std::sregex_iterator next(text.begin(), text.end(), line), end;
    for (; next != end; ++next) {
        std::stringstream numbers((*next)[2].str());
        std::string number;
        while (std::getline(numbers, number, ',')) {
            record.values[(*next)[1].str()].push_back(std::stoi(number));
        }
    }
    for (auto& [name, values] : record.values) {
        std::sort(values.begin(), values.end(), std::greater<>());
        record.children[values.empty() ? 0 : values.front()] = std::make_shared<Record>(Record{name, {}, {}});
    }
    std::future<int> sum = std::async([&] { int all = 0; for (auto& v : record.values) for (int n : v.second) all += n; return all; });
    return sum.get();
}
