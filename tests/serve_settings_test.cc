#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <ostream>
#include <string>

#include "serve/config.h"
#include "tests/golden.h"
#include "tests/temp_folder.h"

namespace choir::serve {
namespace {

using testing::HasSubstr;

Result<Config> read(const std::string& yaml, std::vector<Given> variables = {},
                    std::vector<Given> flags = {}) {
  return read_config({.file = ConfigFile{"serve.yaml", yaml},
                      .variables = std::move(variables),
                      .flags = std::move(flags)});
}

std::string repeated(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

// ---- precedence ---------------------------------------------------------------------------------

struct Level {
  std::string name;
  std::string yaml;
  std::vector<Given> variables;
  std::vector<Given> flags;
  Json value;
  Origin origin;
  std::string where;
};
void PrintTo(const Level& c, std::ostream* out) { *out << c.name; }
class Port : public testing::TestWithParam<Level> {};

TEST_P(Port, IsOfTheFirstThatSaysIt) {
  const Level& c = GetParam();
  const auto config = read(c.yaml, c.variables, c.flags);
  ASSERT_TRUE(config) << config.error().message;
  const SettingValue& port = config->of("listen.port");
  EXPECT_EQ(port.value, c.value);
  EXPECT_EQ(port.origin, c.origin);
  EXPECT_EQ(port.where, c.where);
}

const std::string kPortInFile = "# ports\nlisten:\n  port: 1\n";
const Given kPortInVariable = {"CHOIR_SERVE_LISTEN_PORT", "2"};
const Given kPortInFlag = {"listen.port", "3"};
const Level kLevels[] = {
    {"Default", "", {}, {}, 8411, Origin::kDefault, ""},
    {"Null", "listen:\n  port:\n", {}, {}, 8411, Origin::kDefault, ""},
    {"EmptySection", "listen:\n", {}, {}, 8411, Origin::kDefault, ""},
    {"File", kPortInFile, {}, {}, 1, Origin::kFile, "serve.yaml:3"},
    {"Variable",
     kPortInFile,
     {kPortInVariable},
     {},
     2,
     Origin::kVariable,
     "CHOIR_SERVE_LISTEN_PORT"},
    {"Flag", kPortInFile, {kPortInVariable}, {kPortInFlag}, 3, Origin::kFlag, "--port"},
    {"OtherVariables",
     "",
     {{"CHOIR_SERVE_NOTHING", "1"}, {"PATH", "2"}},
     {},
     8411,
     Origin::kDefault,
     ""},
};
INSTANTIATE_TEST_SUITE_P(, Port, testing::ValuesIn(kLevels),
                         [](const auto& c) { return c.param.name; });

TEST(ReadConfig, TakesListsFromEverySource) {
  const std::string yaml = "access:\n  hosts: [a, b]\n  origins: ['https://c']\n";
  const auto config = read(yaml, {{"CHOIR_SERVE_ACCESS_ORIGINS", "https://d,https://e"}},
                           {{"listen.addresses", "127.0.0.2"}, {"listen.addresses", "::1"}});
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->of("access.hosts").value, Json({"a", "b"}));
  EXPECT_EQ(config->of("access.origins").value, Json({"https://d", "https://e"}));
  EXPECT_EQ(config->of("listen.addresses").value, Json({"127.0.0.2", "::1"}));
}

TEST(ReadConfig, TakesPathsFromTheFolderOfTheFile) {
  const auto config = read_config({.file = ConfigFile{"/etc/choir/serve.yaml",
                                                      "access: {keys_file: keys.json}\n"
                                                      "models: [../a.gguf, /b/c.gguf, d]\n"}});
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->of("access.keys_file").value, "/etc/choir/keys.json");
  EXPECT_EQ(config->of("models").value[0]["model"], "/etc/a.gguf");
  EXPECT_EQ(config->of("models").value[1]["model"], "/b/c.gguf");
  EXPECT_EQ(config->of("models").value[2]["model"], "d");
}

TEST(ReadConfig, LetsFlagsChooseAmongTheModelsOfTheFile) {
  const auto config = read("models:\n  - {model: a, name: fast, system: hi}\n  - b\n", {},
                           {{"models", "c"}, {"models", "fast"}});
  ASSERT_TRUE(config) << config.error().message;
  const Json& models = config->of("models").value;
  ASSERT_EQ(models.size(), 2U);
  EXPECT_EQ(models[0], (Json{{"model", "c"}}));
  EXPECT_EQ(models[1]["system"], "hi");
  EXPECT_EQ(models[1]["model"], "a");
}

// ---- what is wrong ------------------------------------------------------------------------------

struct Wrong {
  std::string name;
  std::string yaml;
  std::string says;
};
void PrintTo(const Wrong& c, std::ostream* out) { *out << c.name; }
class WrongFile : public testing::TestWithParam<Wrong> {};

TEST_P(WrongFile, IsRefusedByItsLine) {
  const auto config = read(GetParam().yaml);
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, Code::kInvalidArgument);
  EXPECT_THAT(config.error().message, testing::StartsWith("serve.yaml:"));
  EXPECT_THAT(config.error().message, HasSubstr(GetParam().says));
}

const std::string kModel = "models:\n  - model: a\n";
const Wrong kWrong[] = {
    {"UnknownKey", "listen:\n  prot: 1\n",
     ":2: there is no setting 'listen.prot'; did you mean 'listen.port'?"},
    {"NoAddress", "listen:\n  addresses: [localhost, here]\n",
     ":2: 'listen.addresses' takes an address such as 127.0.0.1 or ::1, not 'here'"},
    {"AddressAsInAUrl", "listen:\n  addresses: ['[::1]:8411']\n", "write it without brackets"},
    {"NameThatNoPathHas", "models:\n  - {model: a, name: a/../b}\n",
     ":2: 'name' takes 1 to 256 bytes without control characters"},
    {"NameThatEndsInAnAction", "models:\n  - {model: a, name: a/load}\n", "take another name"},
    {"OriginOfAll", "access:\n  origins: ['*']\n", "each by name"},
    {"OriginWithAPath", "access:\n  origins: ['https://a/b']\n", "without a path"},
    {"UnknownMetrics", "metrics:\n  names: choir,prom\n",
     ":2: 'metrics.names' takes choir, vllm and llamacpp, with commas between, not 'choir,prom'"},
    {"UnknownSection", "listn:\n  port: 1\n",
     ":1: there is no setting 'listn'; did you mean 'listen'?"},
    {"SectionLeftOut", "port: 1\n", ":1: there is no setting 'port'; did you mean 'listen.port'?"},
    {"NothingNear", "whatever: 1\n", "`choir config show` lists"},
    {"TextForANumber", "listen:\n  port: eighty\n",
     ":2: 'listen.port' takes a whole number from 0 to 65535, not \"eighty\""},
    {"QuotedNumber", "listen:\n  port: '80'\n", "not \"80\""},
    {"TooMuch", "listen:\n  port: 70000\n", "not 70000"},
    {"TooLittle", "defaults:\n  sequences: 0\n", "from 1 to 256, not 0"},
    {"Fraction", "listen:\n  port: 1.5\n", "not 1.5"},
    {"Huge", "listen:\n  port: 1" + repeated("0", 400) + "\n", "takes a whole number"},
    {"NotANumber", "drain_seconds: .nan\n", "takes a number from 0 to 3600, not \".nan\""},
    {"YesForTrue", "preload: yes\n", "takes true or false, not \"yes\""},
    {"ListForAText", "access:\n  keys_file: [a]\n", "takes a path, not a list"},
    {"TextForAList", "access:\n  hosts: a\n", "takes a list of at most 256 texts, not \"a\""},
    {"NumberInAList", "access:\n  hosts: [1]\n", "put a number in quotes"},
    {"TextForASection", "listen: 8411\n", ":1: 'listen' takes a map of settings"},
    {"UnknownChoice", "defaults:\n  kv_type: f32\n", "takes f16 or q8_0, not \"f32\""},
    {"NoTime", "defaults:\n  keep_alive: soon\n", "takes seconds, or a text such as"},
    {"NoMap", "- a\n", ":1: the file takes a map of settings"},
    {"ModelWithoutModel", "models:\n  - name: a\n", ":2: a model has no 'model'"},
    {"ModelThatIsANumber", "models: [7]\n", "not 7; put it in quotes"},
    {"UnknownOfAModel", kModel + "    alias: [b]\n",
     ":3: there is no setting 'alias'; did you mean 'aliases'?"},
    {"NumberForAName", kModel + "    name: 7\n", ":3: 'name' takes a text on one line"},
    {"TwoLinesForAName", kModel + "    name: \"a\\nb\"\n", ":3: 'name' takes a text on one line"},
    {"NameTwice", kModel + "  - {model: b, aliases: [a]}\n",
     ":3: the name 'a' is there twice, first in line 2"},
    {"NameOfAReplica", kModel + "    replicas: 2\n  - {model: b, name: a@2}\n",
     ":4: the name 'a@2' is there twice, first in line 2"},
    {"NameOfAReplicaToCome", kModel + "    aliases: [b@3]\n  - {model: b, replicas: 3}\n",
     ":4: the name 'b@3' is there twice, first in line 2"},
    {"AliasThatIsAnAction", kModel + "    aliases: [b, c/load]\n", "ends in a slash and 'load'"},
    {"RoomForNoAnswer", kModel + "    context_tokens: 1\n",
     ":3: 'context_tokens' takes 0 or a whole number from 2 to 16777216, not 1"},
    {"RoomForNoAnswerOfAny", "defaults: {context_tokens: 1}\n", "from 2 to 16777216, not 1"},
    {"UnknownSampling", kModel + "    sampling:\n      temprature: 1\n",
     ":4: 'temprature' is no field that 'sampling' takes; did you mean 'temperature'?"},
    {"WrongSampling", kModel + "    sampling: {temperature: 11}\n",
     ":3: 'temperature' is 11; it takes a number from 0 to 10"},
    {"KeyTwice", "preload: true\npreload: false\n",
     ":2: 'preload' is there twice, first in line 1"},
    {"KeyThatIsAList", "[a]: b\n", "a key takes a text"},
    {"KeyThatIsNothing", ": b\n", "a key"},
    {"Tabs", "listen:\n\tport: 1\n", ":2: "},
    {"Unfinished", "access: {hosts: [a\n", "end of"},
    {"TwoDocuments", "preload: true\n---\npreload: true\n", "more than one document"},
    {"Anchor", "preload: &a true\n", ":1: an anchor (&) is not allowed"},
    {"Alias", "preload: *a\n", ":1: "},
    {"BillionLaughs", "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n", "an anchor"},
    {"Merge", "a: {<<: {b: c}}\n", "there is no setting 'a'"},
    {"Tag", "preload: !!bool true\n", "the tag 'tag:yaml.org,2002:bool' is not allowed"},
    {"Deep", "a: " + repeated("[", 17) + repeated("]", 17), "nested deeper than 16"},
    {"VeryDeep", repeated("[", 200'000), ":1: "},
    {"VeryDeepMaps", repeated("{a: ", 50'000), ":1: "},
    {"VeryDeepBlocks", repeated("- ", 100'000), "nested deeper than 16"},
    {"VeryDeepKeys", repeated("? ", 100'000), ":1: "},
    {"ManyValues", "a: [" + repeated("b,", 20'000) + "]", "more than 10000 values"},
    {"Long", "# " + repeated("a", 300'000), "at most 262144 are allowed"},
    {"NotUtf8", "a: b\nc: \"\xff\"\n", ":2: the text is not UTF-8"},
    {"Control", "a: b\nc: \x01\n", ":2: there is a control character"},
    {"Utf16",
     std::string("\xff\xfe"
                 "a\0",
                 4),
     ":1: "},
};
INSTANTIATE_TEST_SUITE_P(, WrongFile, testing::ValuesIn(kWrong),
                         [](const auto& c) { return c.param.name; });

TEST(ReadConfig, TakesEmptyFiles) {
  for (const char* empty : {"", "\n", "# nothing\n", "---\n", "\xef\xbb\xbf", "{}"}) {
    const auto config = read(empty);
    EXPECT_TRUE(config) << config.error().message << " in '" << empty << "'";
  }
}

TEST(ReadConfig, NamesTheVariableAndTheFlagThatAreWrong) {
  EXPECT_THAT(read("", {{"CHOIR_SERVE_LISTEN_PORT", "70000"}}).error().message,
              testing::StartsWith("CHOIR_SERVE_LISTEN_PORT takes a whole number"));
  EXPECT_THAT(read("", {{"CHOIR_SERVE_PRELOAD", "1"}}).error().message,
              testing::StartsWith("CHOIR_SERVE_PRELOAD takes true or false"));
  EXPECT_THAT(read("", {}, {{"drain_seconds", "-1"}}).error().message,
              testing::StartsWith("--drain-seconds takes a number from 0 to 3600, not -1"));
}

// ---- what the daemon takes ----------------------------------------------------------------------

class DaemonOf : public testing::Test {
 protected:
  DaemonOf() { environment_.set("XDG_CONFIG_HOME", folder_.path()); }
  static DaemonConfig of(const std::string& yaml) {
    return daemon_config(read(yaml).value()).value();
  }
  const TempFolder folder_;
  Environment environment_;
};

TEST_F(DaemonOf, DefaultsIsAsItsTypesSay) {
  const DaemonConfig made = of("");
  const DaemonConfig plain;
  EXPECT_EQ(made.server.endpoints.hosts, plain.server.endpoints.hosts);
  EXPECT_EQ(made.server.endpoints.port, plain.server.endpoints.port);
  EXPECT_EQ(made.server.endpoints.unix_socket, plain.server.endpoints.unix_socket);
  EXPECT_EQ(made.server.connections_max, plain.server.connections_max);
  EXPECT_EQ(made.server.body_bytes_max, plain.server.body_bytes_max);
  EXPECT_EQ(made.server.timeouts.head, plain.server.timeouts.head);
  EXPECT_EQ(made.server.timeouts.body, plain.server.timeouts.body);
  EXPECT_EQ(made.server.timeouts.idle, plain.server.timeouts.idle);
  EXPECT_EQ(made.server.timeouts.stalled, plain.server.timeouts.stalled);
  EXPECT_EQ(made.node, plain.node);
  EXPECT_EQ(made.model_defaults.context_tokens, plain.model_defaults.context_tokens);
  EXPECT_EQ(made.model_defaults.sequences_max, plain.model_defaults.sequences_max);
  EXPECT_EQ(made.model_defaults.kv_type, plain.model_defaults.kv_type);
  EXPECT_EQ(made.drain, plain.drain);
  EXPECT_TRUE(made.keys.empty() && made.models.empty() && !made.keys_needed);
}

TEST_F(DaemonOf, AFileHasAllOfIt) {
  const DaemonConfig made =
      of("listen: {addresses: [127.0.0.1], port: 1, unix_socket: ''}\n"
         "access: {hosts: [Choir.Example], origins: ['https://a']}\n"
         "defaults: {context_tokens: 5, sequences: 6, kv_type: q8_0, keep_alive: 10m}\n"
         "node: {cores: 2, lanes: 1, memory_bytes: 9, policy: latency, queue: 7}\n"
         "limits: {connections: 3, bodies_bytes: 8388608}\n"
         "timeouts: {head_seconds: 1, body_seconds: 2, idle_seconds: 3, stalled_seconds: 1.5}\n"
         "drain_seconds: 4\npreload: true\n");
  EXPECT_EQ(made.server.endpoints.unix_socket, "");
  EXPECT_THAT(made.host_rules.hosts, testing::ElementsAre("127.0.0.1", "choir.example"));
  EXPECT_EQ(made.model_defaults.kv_type, KvType::kQ80);
  EXPECT_EQ(made.model_defaults.keep_alive, std::chrono::minutes(10));
  EXPECT_EQ(made.node.policy, ExecutionPolicy::kLatency);
  EXPECT_EQ(made.node.memory_bytes_max, 9U);
  EXPECT_EQ(made.node.stalled, std::chrono::milliseconds(1500));
  EXPECT_EQ(made.server.timeouts.stalled, std::chrono::milliseconds(1500));
  EXPECT_EQ(made.server.connections_max, 3U);
  EXPECT_EQ(made.drain, std::chrono::seconds(4));
  EXPECT_TRUE(made.preload);
}

TEST_F(DaemonOf, AModelHasAllOfIt) {
  const DaemonConfig made =
      of("models:\n"
         "  - model: a\n    name: b\n    aliases: [c]\n    preload: true\n    pinned: true\n"
         "    keep_alive: 90\n    context_tokens: 9\n    sequences: 2\n    kv_type: q8_0\n"
         "    shares: 0.5\n    priority: low\n    batching: collect\n    batch_tokens: 3\n"
         "    prefix_cache: false\n    max_tokens_default: 4\n    system: |\n      d\n      e\n"
         "    sampling: {temperature: 0.5, top_k: 7}\n");
  ASSERT_EQ(made.models.size(), 1U);
  const ModelConfig& m = made.models.front();
  EXPECT_EQ(m.model + m.name + m.aliases.at(0), "abc");
  EXPECT_TRUE(m.preload && m.pinned && !m.prefix_cache);
  EXPECT_EQ(m.requests.keep_alive, std::chrono::seconds(90));
  EXPECT_EQ(m.context_tokens, 9);
  EXPECT_EQ(m.sequences, 2);
  EXPECT_EQ(m.kv_type, KvType::kQ80);
  EXPECT_EQ(m.shares, 0.5);
  EXPECT_EQ(m.requests.priority, Priority::kLow);
  EXPECT_EQ(m.batching, Batching::kCollect);
  EXPECT_EQ(m.batch_tokens, 3);
  EXPECT_EQ(m.requests.max_tokens, 4);
  EXPECT_EQ(m.requests.system, "d\ne\n");
  EXPECT_EQ(m.requests.sampling, (Json{{"temperature", 0.5}, {"top_k", 7}}));
}

TEST_F(DaemonOf, APublicAddressNeedsKeys) {
  const auto open = daemon_config(read("listen:\n  addresses: [0.0.0.0]\n").value());
  ASSERT_FALSE(open);
  EXPECT_THAT(open.error().message, testing::StartsWith("serve.yaml:2 0.0.0.0 is not loopback"));
  EXPECT_FALSE(of("listen: {addresses: [0.0.0.0], open_to_all: true}\n").keys_needed);
  ASSERT_TRUE(add_key(folder_ / "choir/keys.json", {.key = "a", .tenant = "a", .scopes = kInfer}));
  EXPECT_THAT(read("listen:\n  addresses: [0.0.0.0]\n").value().of("listen.addresses").where,
              "serve.yaml:2");
  EXPECT_TRUE(of("listen: {addresses: [0.0.0.0]}\n").keys_needed);
}

// The schema, and the example of the documentation.

TEST(ConfigSchema, IsTheCommittedOne) {
  expect_golden("../../docs/serve.schema.json", config_schema());
}

TEST(Example, IsValidAndHasEverySetting) {
  const std::string path = std::string(std::getenv("CHOIR_REPO")) + "/docs/serve.example.yaml";
  const std::string text = text_of_file(path);
  const auto config = read_config({.file = ConfigFile{path, text}});
  ASSERT_TRUE(config) << config.error().message;
  for (const auto table : {settings(), model_settings()})
    for (const Setting& setting : table) {
      const std::string name(setting.name.substr(setting.name.find('.') + 1));
      EXPECT_THAT(text, HasSubstr(name + ":")) << setting.name;
    }
}

TEST(Shown, HasTheOriginOfEverySetting) {
  const Json json = shown(read("preload: true\n").value());
  EXPECT_EQ(json["file"], "serve.yaml");
  EXPECT_EQ(json["settings"].size(), settings().size());
  EXPECT_EQ(json["settings"]["preload"],
            (Json{{"value", true}, {"origin", "file"}, {"where", "serve.yaml:1"}}));
  EXPECT_EQ(json["settings"]["listen.port"], (Json{{"value", 8411}, {"origin", "default"}}));
}

}  // namespace
}  // namespace choir::serve
