// SPDX-License-Identifier: Apache-2.0
#include "driver/package.h"

#include <archive.h>
#include <archive_entry.h>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "driver/bundle.h"
#include "driver/files.h"
#include "driver/temp_folder.h"

namespace sluice::driver {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr const char* kCode = "function decodeUplink(input) { return { data: { n: input.bytes.length } }; }\n";
constexpr const char* kExamples =
    R"([{"type":"uplink","description":"one","input":{"bytes":"00"},"output":{"data":{"n":1}}}])";
constexpr const char* kManifest = R"({"name":"@lab/t","version":"2.5.1","description":"Label","main":".\\lib\\entry.js",
  "specification":"https://x/spec","driver":{"producerId":"lab","type":"thingpark-x-js","description":"Long",
  "application":{"producerId":"maker","moduleId":"gen","version":1},"points":{"t":{"type":"double","unitId":"Cel"}}}})";

struct Entry {
  std::string name, text;
  int type = AE_IFREG;
};
std::string tgz(const std::vector<Entry>& entries) {
  std::string out(4u << 20, '\0');
  std::size_t used = 0;
  archive* a = archive_write_new();
  archive_write_add_filter_gzip(a);
  archive_write_set_format_pax_restricted(a);
  archive_write_open_memory(a, out.data(), out.size(), &used);
  for (const auto& entry : entries) {
    archive_entry* e = archive_entry_new();
    archive_entry_set_pathname(e, entry.name.c_str());
    archive_entry_set_perm(e, 0644);
    archive_entry_set_filetype(e, static_cast<unsigned>(entry.type));
    if (entry.type == AE_IFLNK) archive_entry_set_symlink(e, entry.text.c_str());
    archive_entry_set_size(e, entry.type == AE_IFREG ? static_cast<std::int64_t>(entry.text.size()) : 0);
    archive_write_header(a, e);
    if (entry.type == AE_IFREG) archive_write_data(a, entry.text.data(), entry.text.size());
    archive_entry_free(e);
  }
  archive_write_close(a);
  archive_write_free(a);
  out.resize(used);
  return out;
}

std::string error_of(const Result<Package>& package) {
  return package ? "read" : package.error().text;
}

TEST(ReadPackage, NpmArchive) {
  TempFolder folder;
  folder.write("t.tgz", tgz({{"package/package.json", kManifest},
                             {"package/lib/entry.js", std::string("\xef\xbb\xbf") + kCode},
                             {"package/examples/deep/a.examples.json",
                              R"([{"type":"uplink","description":"x","bytes":"00","data":{"n":1}}])"},
                             {"package/errors/a.errors.json", R"([{"type":"uplink","bytes":"","error":"short"}])"},
                             {"package/json-schemas/uplink.schema.json", R"({"type":"object"})"}}));
  auto package = read_package(folder.path("t.tgz"));
  ASSERT_TRUE(package) << error_of(package);
  EXPECT_EQ(package->id(), "lab:t:2");
  EXPECT_EQ(package->version, "2.5.1");
  EXPECT_EQ(package->label, "Label");
  EXPECT_EQ(package->description, "Long");
  EXPECT_EQ(package->application->text(), "maker:gen:1");
  EXPECT_EQ(package->signature, Signature::actility);
  EXPECT_EQ(package->entry, "lib/entry.js");
  EXPECT_EQ(json::write(package->points_schema), R"({"t":{"type":"double","unitId":"Cel"}})");
  EXPECT_EQ(json::write(package->links), R"({"specification":"https://x/spec"})");
  EXPECT_EQ(json::write(package->uplink_schema), R"({"type":"object"})");
  ASSERT_THAT(package->examples, SizeIs(2));
  EXPECT_EQ(package->examples[0].file, "examples/deep/a.examples.json");
  EXPECT_TRUE(package->examples[1].for_tests);
  EXPECT_THAT(package->warnings, IsEmpty());
}

TEST(ReadPackage, ArchivesThatAreRefused) {
  auto refused = [](const std::string& bytes) {
    auto files = open_archive(bytes);
    return files ? "opened" : files.error().text;
  };
  EXPECT_EQ(refused(tgz({{"package/../../x", "1"}})), "archive: the name package/../../x leads out of the package");
  EXPECT_EQ(refused(tgz({{"/etc/x", "1"}})), "archive: the name /etc/x leads out of the package");
  EXPECT_EQ(refused(tgz({{"package/x", "/etc/passwd", AE_IFLNK}})), "archive: package/x is a link");
  EXPECT_EQ(refused(tgz({{"package/x", "", AE_IFIFO}})), "archive: package/x is no plain file");
  EXPECT_EQ(refused(tgz({{"package/x", std::string(17u << 20, '0')}})), "archive: over 16 MiB unpacked");
  EXPECT_EQ(refused(tgz(std::vector<Entry>(4097, {"package/x", ""}))), "archive: more than 4,096 files");
  EXPECT_THAT(refused("no archive"), HasSubstr("archive: "));
  EXPECT_THAT(refused(tgz({{"package/x", std::string(100000, 'x')}}).substr(0, 150)), HasSubstr("archive: "));
  EXPECT_EQ(refused(tgz({})), "archive: no files in it");
}

TEST(ReadPackage, NpmFolderNamesEveryMissingKey) {
  TempFolder folder;
  folder.write("package.json",
               R"({"version":"1.0.0","driver":{"type":"thingpark-x-js","application":{"moduleId":"m"}}})");
  folder.write("index.js", kCode);
  EXPECT_EQ(error_of(read_package(folder.path())),
            folder.path() +
                ": package.json: missing: name, driver.producerId, driver.application.producerId, "
                "driver.application.version");
  folder.write("package.json", R"({"name":"t","version":"1.0.0","driver":{"producerId":"p","type":"thingpark-x-java",
    "application":{"producerId":"p","moduleId":"m","version":"1"}}})");
  EXPECT_THAT(error_of(read_package(folder.path())), HasSubstr("thingpark-x-java cannot be run"));
  folder.write("package.json", R"({"name":"t","version":"one","driver":{"producerId":"p","type":"ttn",
    "application":{"producerId":"p","moduleId":"m","version":"1"}}})");
  EXPECT_THAT(error_of(read_package(folder.path())), HasSubstr("package.json: version is no version: one"));
  folder.write("package.json", "{ \"name\": ");
  EXPECT_THAT(error_of(read_package(folder.path())), HasSubstr("package.json: line 1"));
}

TEST(ReadPackage, EntryFileOutsideOrAbsent) {
  TempFolder folder;
  auto with_main = [&](const std::string& main) {
    folder.write("p/package.json", R"({"name":"t","version":"1","main":")" + main + R"(","driver":{"producerId":"p",
      "type":"lora-alliance","application":{"producerId":"p","moduleId":"m","version":"1"}}})");
    return error_of(read_package(folder.path("p")));
  };
  folder.write("outside.js", kCode);
  EXPECT_THAT(with_main("../outside.js"), HasSubstr("main names ../outside.js, which is not in the package"));
  std::filesystem::create_symlink(folder.path("outside.js"), folder.path("p/link.js"));
  EXPECT_THAT(with_main("link.js"), HasSubstr("main names link.js, which is not in the package"));
  EXPECT_THAT(with_main(""), HasSubstr("no entry file"));
  folder.write("p/my entry.js", kCode);
  EXPECT_EQ(with_main("./my entry"), "read");
  folder.write("p/index.js", std::string((1u << 20) + 1, ' '));
  EXPECT_THAT(with_main(""), HasSubstr("index.js: over 1024 KiB"));
  folder.write("p/index.js", "// \xb0");
  EXPECT_THAT(with_main(""), HasSubstr("index.js: not UTF-8"));
}

TEST(ReadPackage, CatalogueFolder) {
  TempFolder folder;
  folder.write("My Driver v2/driver.yaml",
               "name: A label   \ndescription: Long  # remark\nproducerId: lab\ndeveloperEmail: a@b\n"
               "protocolId: maker:gen:2\nsignature:\nuseContext: true\npackageName: '@lab/some-very-long-name'\n"
               "packageVersion: 2.1.0\ntrustedCRC: " +
                   crc32(kCode) + " \ndriverCRC: 00000000\n");
  folder.write("My Driver v2/index.js", kCode);
  folder.write("My Driver v2/extractPoints.js", "exports.extractPoints = function () { return {}; };");
  folder.write("My Driver v2/examples.json", kExamples);
  folder.write("My Driver v2/non-regression.json", kExamples);
  folder.write("My Driver v2/package.json", R"({"name":"x","main":"index.js"})");
  auto package = read_package(folder.path("My Driver v2"));
  ASSERT_TRUE(package) << error_of(package);
  EXPECT_EQ(package->id(), "lab:some-very-long-name:2");
  EXPECT_EQ(package->label, "A label");
  EXPECT_EQ(package->description, "Long");
  EXPECT_EQ(package->signature, Signature::lora_alliance);
  EXPECT_TRUE(package->use_context);
  EXPECT_TRUE(package->trusted_crc_matches);
  EXPECT_THAT(package->extract_points, HasSubstr("extractPoints"));
  ASSERT_THAT(package->examples, SizeIs(2));
  EXPECT_TRUE(package->examples[1].for_tests);
  EXPECT_THAT(package->warnings, ElementsAre("the name some-very-long-name has more than 16 characters"));

  folder.write("My Driver v2/driver.yaml", "producerId: lab\nprotocolId: maker:gen:2\ntrustedCRC: 00012345\n");
  package = read_package(folder.path("My Driver v2/"));
  ASSERT_TRUE(package) << error_of(package);
  EXPECT_EQ(package->id(), "lab:My-Driver-v2:2");  // the folder's name, the protocol's version
  EXPECT_EQ(package->trusted_crc, "00012345");
  EXPECT_FALSE(package->trusted_crc_matches);
  EXPECT_THAT(package->warnings, Contains("driver.yaml: trustedCRC is not that of index.js"));
}

TEST(ReadPackage, CatalogueFaults) {
  TempFolder folder;
  auto with = [&](const std::string& yaml) {
    folder.write("d/driver.yaml", yaml);
    folder.write("d/index.js", kCode);
    return error_of(read_package(folder.path("d")));
  };
  EXPECT_THAT(with("producerId: p\n"), HasSubstr("driver.yaml: protocolId is missing"));
  EXPECT_THAT(with("producerId: p\nprotocolId: a:b\n"), HasSubstr("protocolId a:b is not producer:module:version"));
  EXPECT_THAT(with("protocolId: a:b:1\n"), HasSubstr("driver.yaml: missing: producerId"));
  EXPECT_THAT(with("producerId: p\nprotocolId: a:b:1\nsignature: java\n"), HasSubstr("signature java is none of"));
  EXPECT_THAT(with("a: [1\n"), HasSubstr("driver.yaml: line"));
  EXPECT_THAT(with("- 1\n"), HasSubstr("driver.yaml: no keys"));
  EXPECT_EQ(with("producerId: p\nprotocolId: a:b:1\nsignature: actility\n"), "read");
}

TEST(ReadPackage, PrivateDriverWithoutCode) {
  TempFolder folder;
  folder.write("d/driver.yaml", "producerId: p\nprotocolId: a:b:1\n");
  auto package = read_package(folder.path("d"));
  ASSERT_TRUE(package) << error_of(package);
  EXPECT_TRUE(package->is_private);
  EXPECT_EQ(package->code, "");
}

TEST(ReadPackage, LoraAlliancePackageAndScripts) {
  TempFolder folder;
  folder.write("ts013/index.js", kCode);
  folder.write("ts013/metadata.json", R"({"name":"Sensor X","version":"1.2"})");
  folder.write("ts013/examples.json", kExamples);
  folder.write("ts013/uplink.schema.json", R"({"a":1})");
  auto package = read_package(folder.path("ts013"));
  ASSERT_TRUE(package) << error_of(package);
  EXPECT_EQ(package->name, "Sensor-X");
  EXPECT_EQ(package->version, "1.2.0");
  EXPECT_EQ(package->signature, Signature::lora_alliance);
  EXPECT_FALSE(package->application);
  EXPECT_THAT(package->examples, SizeIs(1));
  EXPECT_THAT(package->uplink_schema, SizeIs(1));

  folder.write("codecs/my sensor.js", kCode);
  folder.write("codecs/test_decode_my sensor.json",
               R"([{"name":"a","input":{"bytes":[0x00]},"expected":{"data":{"n":1}}}])");
  package = read_package(folder.path("codecs/my sensor.js"));
  ASSERT_TRUE(package) << error_of(package);
  EXPECT_EQ(package->name, "my-sensor");
  EXPECT_EQ(package->entry, "my sensor.js");
  EXPECT_FALSE(package->signature);
  EXPECT_THAT(package->examples, SizeIs(1));
  EXPECT_THAT(error_of(read_package(folder.path("codecs"))), HasSubstr("no driver here"));
  EXPECT_THAT(error_of(read_package(folder.path("nothing"))), HasSubstr("not there"));
}

TEST(ReadPackage, DecoderBesideEncoder) {
  TempFolder folder;
  folder.write("x1/x1-decoder.js", kCode);
  folder.write("x1/x1-encoder.js", "function encodeDownlink(input) { return { bytes: [1], fPort: 1 }; }");
  folder.write("x1/other-decoder.js", kCode);
  folder.write("x1/README.md", "# Sensor - X1\n\n```json\n// 00\n{\"n\": 1}\n```\n");
  auto package = read_package(folder.path("x1"));
  ASSERT_TRUE(package) << error_of(package);
  EXPECT_EQ(package->id(), "milesight:x1:1");
  EXPECT_EQ(package->label, "Sensor - X1");
  EXPECT_EQ(package->entry, "x1-decoder.js");
  EXPECT_THAT(package->code, HasSubstr("//# file x1-encoder.js\n"));
  EXPECT_THAT(package->examples, SizeIs(1));
  EXPECT_EQ(place_of(package->code, 1000).file, "");
}

TEST(ReadPackage, TheThingsNetworksCodec) {
  TempFolder folder;
  folder.write("maker/x-codec.yaml",
               "uplinkDecoder:\n  fileName: up.js\n  examples:\n    - description: one\n"
               "      input: {fPort: 1, bytes: [0]}\n      output: {data: {n: 1, s: 'on', w: on}}\n"
               "downlinkEncoder:\n  fileName: down.js\ndownlinkDecoder:\n  fileName: down.js\n");
  folder.write("maker/up.js", kCode);
  folder.write("maker/down.js", "function encodeDownlink(input) { return { bytes: [1], fPort: 1 }; }");
  auto package = read_package(folder.path("maker/x-codec.yaml"));
  ASSERT_TRUE(package) << error_of(package);
  EXPECT_EQ(package->id(), "maker:x:1");
  EXPECT_EQ(package->application->text(), "maker:x:1");
  EXPECT_EQ(package->signature, Signature::lora_alliance);
  EXPECT_THAT(package->code, HasSubstr("//# file down.js\n"));
  ASSERT_THAT(package->examples, SizeIs(1));
  EXPECT_EQ(json::write(*package->examples[0].output), R"({"data":{"n":1,"s":"on","w":"on"}})");
  folder.write("maker/y.yaml", "uplinkDecoder:\n  fileName: none.js\n");
  EXPECT_THAT(error_of(read_package(folder.path("maker/y.yaml"))),
              HasSubstr("uplinkDecoder.fileName: none.js: not there"));
  folder.write("maker/z.yaml", "name: a device\n");
  EXPECT_THAT(error_of(read_package(folder.path("maker/z.yaml"))), HasSubstr("neither uplinkDecoder"));
}

TEST(ReadPackage, GoesThroughJsonAndBack) {
  TempFolder folder;
  folder.write("d/driver.yaml", "name: L\nproducerId: lab\nprotocolId: maker:gen:2\nuseContext: true\ntrustedCRC: " +
                                    crc32(kCode) + "\n");
  folder.write("d/index.js", kCode);
  folder.write("d/examples.json", kExamples);
  auto package = read_package(folder.path("d"));
  ASSERT_TRUE(package);
  package->models = {{"maker", "one", "1"}};
  auto back = package_from_json(to_json(*package));
  ASSERT_TRUE(back) << error_of(back);
  EXPECT_EQ(to_json(*back), to_json(*package));
  EXPECT_EQ(back->code, kCode);
  EXPECT_TRUE(back->trusted_crc_matches);
  auto broken = [&](const char* key, const json::value& value) {
    auto o = to_json(*package);
    o[key] = value;
    return error_of(package_from_json(o));
  };
  EXPECT_THAT(broken("name", "a b"), HasSubstr("name must be"));
  EXPECT_THAT(broken("code", "*"), HasSubstr("code is no base64"));
  EXPECT_THAT(broken("code", "/w=="), HasSubstr("code is not UTF-8"));
  EXPECT_THAT(broken("code", ""), HasSubstr("code is required"));
  EXPECT_THAT(broken("application", 1), HasSubstr("application must be an object"));
  EXPECT_THAT(broken("type", "java"), HasSubstr("type must be"));
  EXPECT_THAT(broken("version", "x"), HasSubstr("version must be"));
}

TEST(Identity, Parts) {
  EXPECT_EQ(id_part("a b/c\xc3\xa9"
                    "d.e_f-g"),
            "a-b-c-d.e_f-g");
  EXPECT_THAT(id_part(std::string(100, 'x')), SizeIs(64));
  EXPECT_EQ(plain_version("2"), "2.0.0");
  EXPECT_EQ(plain_version("v1.2.3-rc.1"), "1.2.3-rc.1");
  for (const char* bad : {"", "x", "1.2.3.4", "1..2", "-1", "99999999999", "1.2.3-\x01"})
    EXPECT_FALSE(plain_version(bad)) << bad;
  EXPECT_EQ(parse_module(" a : b : 1 ")->text(), "a:b:1");
  for (const char* bad : {"", "a:b", "a:b:1:2", "a::1", "a b:c:1"})
    EXPECT_FALSE(parse_module(bad)) << bad;
  EXPECT_EQ(crc32("123456789"), "cbf43926");
}

}  // namespace
}  // namespace sluice::driver
