// SPDX-License-Identifier: Apache-2.0
#include "driver/collection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "driver/temp_folder.h"

namespace sluice::driver {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

constexpr const char* kCode = "function decodeUplink(input) { return { data: { n: input.bytes.length } }; }\n";

std::vector<std::string> ids(const Collection& found) {
  std::vector<std::string> result;
  for (const auto& package : found.packages)
    result.push_back(package.producer.empty() ? package.name : package.id());
  return result;
}

// "path: reason" without the folder.
std::vector<std::string> lines(const TempFolder& folder, const std::vector<Refusal>& refusals) {
  std::vector<std::string> result;
  for (const auto& one : refusals) {
    auto text = one.path + ": " + one.reason;
    for (std::size_t at; (at = text.find(folder.path() + "/")) != std::string::npos;)
      text.erase(at, folder.path().size() + 1);
    result.push_back(text);
  }
  return result;
}

TEST(Scan, Catalogue) {
  TempFolder folder;
  auto driver = [&](const std::string& path, const std::string& yaml, bool code = true) {
    folder.write("vendors/" + path + "/driver.yaml", yaml);
    if (code) folder.write("vendors/" + path + "/index.js", kCode);
  };
  folder.write("vendors/README.md", "stray");
  folder.write("vendors/maker/vendor.yaml", "id: maker\nlogo: https://x/logo.png\n");
  folder.write("vendors/maker/models/My Model/model.yaml",
               "modelId: maker:one:1\nprotocolId: [ 'maker:gen:1', other:p:2 ]\nspecificationURL: https://x/s\n");
  folder.write("vendors/maker/models/two/model.yaml", "modelId: maker:two:1\nprotocolId: maker:gen:1\n");
  folder.write("vendors/maker/models/three/model.yaml", "modelId: nonsense\n");
  driver("maker/drivers/gen",
         "producerId: lab\nprotocolId: maker:gen:1\npackageName: '@lab/gen'\npackageVersion: 1.4.0\n");
  driver("maker/drivers/gen-v2",
         "producerId: lab\nprotocolId: maker:gen2:3\npackageName: gen\npackageVersion: 1.0.0\n");
  driver("maker/drivers/hidden", "producerId: lab\nprotocolId: maker:hid:1\n", false);
  driver("maker/drivers/twice", "producerId: lab\nprotocolId: Maker:gen:1\n");
  driver("maker/drivers/bad", "producerId: lab\n");
  driver("other/drivers/p", "producerId: lab\nprotocolId: other:p:2\n");
  folder.write("vendors/maker/drivers/notes.txt", "stray");
  folder.write("vendors/maker/drivers/empty/notes.txt", "stray");

  const auto found = scan({folder.path()});
  EXPECT_THAT(found.layouts, ElementsAre(Layout::catalogue));
  EXPECT_THAT(ids(found), ElementsAre("lab:gen:1", "lab:gen2:3", "lab:hidden:1", "lab:p:2"));
  EXPECT_THAT(found.packages[1].warnings, ElementsAre("the id lab:gen:1 is already another's: lab:gen2:3 instead"));
  EXPECT_EQ(found.packages[1].version, "3.0.0");
  EXPECT_THAT(found.packages[0].models, SizeIs(2));
  EXPECT_EQ(json::write(found.packages[0].links),
            R"({"manufacturerLogoUrl":"https://x/logo.png","specification":"https://x/s"})");
  EXPECT_TRUE(found.packages[2].is_private);
  ASSERT_THAT(found.packages[3].models, SizeIs(1));
  EXPECT_EQ(found.packages[3].models[0].text(), "maker:one:1");
  EXPECT_THAT(lines(folder, found.refused),
              UnorderedElementsAre("vendors/maker/drivers/bad: driver.yaml: protocolId is missing",
                                   "vendors/maker/drivers/twice: protocolId Maker:gen:1 is already that of "
                                   "vendors/maker/drivers/gen"));
  EXPECT_THAT(lines(folder, found.passed_over),
              UnorderedElementsAre("vendors/README.md: no vendor's folder",
                                   "vendors/maker/models/three: model.yaml: modelId is not producer:module:version",
                                   "vendors/maker/drivers/notes.txt: a file among the drivers' folders",
                                   "vendors/maker/drivers/empty: no driver.yaml"));
  EXPECT_THAT(ids(scan({folder.path("vendors/other")})), ElementsAre("lab:p:2"));
  EXPECT_THAT(scan({folder.path("vendors/other/drivers/p/")}).layouts, ElementsAre(Layout::single));
}

TEST(Scan, OlderCatalogueAndArchives) {
  TempFolder folder;
  auto manifest = [](const std::string& version) {
    return R"({"name":"@lab/t","version":")" + version + R"(","driver":{"producerId":"lab","type":"thingpark-x-js",
      "application":{"producerId":"maker","moduleId":"gen","version":"1"}}})";
  };
  folder.write("lab/t/package.json", manifest("1.2.0"));
  folder.write("lab/t/index.js", kCode);
  folder.write("lab/t-old/package.json", manifest("1.1.9"));
  folder.write("lab/t-old/index.js", kCode);
  folder.write("lab/tool/package.json", "{}");
  const auto found = scan({folder.path()});
  EXPECT_THAT(found.layouts, ElementsAre(Layout::older_catalogue));
  EXPECT_THAT(ids(found), ElementsAre("lab:t:1"));
  EXPECT_EQ(found.packages[0].version, "1.2.0");
  EXPECT_THAT(lines(folder, found.passed_over), UnorderedElementsAre("lab/tool: package.json has no object driver",
                                                                     "lab/t-old: version 1.1.9: a newer one is lab/t"));
}

TEST(Scan, TheThingsNetwork) {
  TempFolder folder;
  folder.write("vendor/maker/s1.yaml",
               "name: Sensor 1\ndescription: Long\ndatasheetURL: https://x/d\nfirmwareVersions:\n"
               "  - version: '1'\n    profiles:\n      EU863-870:\n        codec: s1-codec\n");
  folder.write("vendor/maker/s1-codec.yaml", "uplinkDecoder:\n  fileName: s1.js\n");
  folder.write("vendor/maker/s1.js", kCode);
  folder.write("vendor/maker/broken-codec.yaml", "uplinkDecoder:\n  fileName: none.js\n");
  folder.write("vendor/maker/torn-codec.yaml", "uplinkDecoder:\n  fileName: [\n");
  const auto found = scan({folder.path()});
  EXPECT_THAT(found.layouts, ElementsAre(Layout::ttn));
  EXPECT_THAT(ids(found), ElementsAre("maker:s1:1"));
  EXPECT_EQ(found.packages[0].label, "Sensor 1");
  EXPECT_EQ(found.packages[0].models[0].text(), "maker:s1:1");
  EXPECT_THAT(lines(folder, found.refused),
              UnorderedElementsAre(
                  "vendor/maker/broken-codec.yaml: broken-codec.yaml: uplinkDecoder.fileName: none.js: not there",
                  testing::StartsWith("vendor/maker/torn-codec.yaml: line 3")));
  EXPECT_THAT(ids(scan({folder.path("vendor/maker")})), ElementsAre("maker:s1:1"));
}

TEST(Scan, ChirpStack) {
  TempFolder folder;
  folder.write("vendors/maker/vendor.toml", "[vendor]\nname = \"Maker\"\n");
  folder.write(
      "vendors/maker/devices/s1.toml",
      "[device]\nname = \"S1\"\ndescription = \"Long\"\n[[device.firmware]]\nversion = \"1\"\ncodec = \"s.js\"\n"
      "[device.metadata]\ndocumentation_url = \"https://x/d\"\n");
  folder.write("vendors/maker/devices/bad.toml", "[device\n");
  folder.write("vendors/maker/codecs/s.js", kCode);
  folder.write("vendors/maker/codecs/alone.js", kCode);
  folder.write("vendors/maker/codecs/test_decode_s.json",
               "[{name: 'a', input: {fPort: 0x02, bytes: [0x00]}, expected: {data: {n: 1}}}]");
  folder.write("vendors/nobody/README.md", "");
  const auto found = scan({folder.path()});
  EXPECT_THAT(found.layouts, ElementsAre(Layout::chirpstack));
  EXPECT_THAT(ids(found), ElementsAre("maker:alone:1", "maker:s:1"));
  EXPECT_THAT(found.packages[0].warnings, ElementsAre("no device names this codec"));
  EXPECT_EQ(found.packages[1].models[0].text(), "maker:s1:1");
  EXPECT_EQ(found.packages[1].label, "S1");
  EXPECT_THAT(found.packages[1].examples, SizeIs(1));
  EXPECT_THAT(lines(folder, found.passed_over),
              UnorderedElementsAre(testing::StartsWith("vendors/maker/devices/bad.toml: line 1"),
                                   "vendors/nobody: no vendor.toml"));
}

TEST(Scan, DecodersBesideEncoders) {
  TempFolder folder;
  folder.write("README.md", "");
  folder.write("a-series/a1/a1-decoder.js", kCode);
  folder.write("a-series/a1/a1-encoder.js", "");
  folder.write("a-series/a1/a1-cellular.js", "");
  folder.write("a-series/a2/other-decoder.js", kCode);
  folder.write("a-series/a3/x-decoder.js", kCode);
  folder.write("a-series/a3/y-decoder.js", kCode);
  folder.write("tools/t/lambda.js", "");
  const auto found = scan({folder.path()});
  EXPECT_THAT(found.layouts, ElementsAre(Layout::coder_pairs));
  EXPECT_THAT(ids(found), ElementsAre("milesight:a1:1", "milesight:a2:1"));
  EXPECT_THAT(lines(folder, found.passed_over),
              UnorderedElementsAre("a-series/a1/a1-cellular.js: for the cellular variant: it has no LoRaWAN functions",
                                   "a-series/a3/x-decoder.js: one of several decoders, none called as the folder",
                                   "a-series/a3/y-decoder.js: one of several decoders, none called as the folder",
                                   "tools/t/lambda.js: no decoder"));
  EXPECT_THAT(ids(scan({folder.path("a-series")})), ElementsAre("milesight:a1:1", "milesight:a2:1"));
  EXPECT_THAT(ids(scan({folder.path("a-series/a1")})), ElementsAre("milesight:a1:1"));
}

TEST(Scan, LooseScriptsAndNothing) {
  TempFolder folder;
  folder.write("two.js", kCode);
  folder.write("one.js", kCode);
  std::vector<std::string> seen;
  auto found = scan({folder.path(), folder.path("one.js")}, [&](const std::string& path) { seen.push_back(path); });
  EXPECT_THAT(found.layouts, ElementsAre(Layout::loose, Layout::single));
  EXPECT_THAT(ids(found), ElementsAre("one", "two", "one"));
  EXPECT_THAT(seen, ElementsAre(folder.path("one.js"), folder.path("two.js"), folder.path("one.js")));

  TempFolder empty;
  found = scan({empty.path(), empty.path("none")});
  EXPECT_THAT(found.packages, IsEmpty());
  EXPECT_THAT(found.refused, SizeIs(2));
  EXPECT_EQ(found.refused[1].reason, "not there");
}

TEST(Versions, AreOrderedAsSemVer) {
  const std::vector<std::string> sorted = {"0.9.9",      "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta",
                                           "1.0.0-rc.2", "1.0.0-rc.10", "1.0.0",         "1.2.0",
                                           "1.10.0",     "2.0.0"};
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    for (std::size_t k = 0; k < sorted.size(); ++k)
      EXPECT_EQ(older_than(sorted[i], sorted[k]), i < k) << sorted[i] << " " << sorted[k];
  }
  EXPECT_FALSE(older_than("1.0.0+a", "1.0.0+b"));
}

}  // namespace
}  // namespace sluice::driver
