// SPDX-License-Identifier: Apache-2.0
// The browsable contract: Swagger UI, from within the program. It asks no other host for anything, and its page may
// not.
#include "api/swagger.h"

#include <algorithm>
#include <array>
#include <zlib.h>

#include "api/router.h"
#include "base/codec.h"
#include "base/log.h"

namespace sluice::api {
namespace {

constexpr const char* kFolder = "/iot-flow/v1/swagger-ui/";
// Swagger UI sets style attributes and has its icons in data: URLs; scripts are files of ours alone.
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

struct Asset {
  std::string_view name, type;
  std::string_view packed;  // gzip; empty: only `plain`
  std::string plain;
  std::string tag;
};

std::string unpack(std::string_view packed) {
  std::string out;
  z_stream stream{};
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) return out;  // 16: the gzip form
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  int status = Z_OK;
  while (status == Z_OK) {
    auto done = out.size();
    out.resize(done + (std::size_t{256} << 10));
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + done);
    stream.avail_out = static_cast<uInt>(out.size() - done);
    status = inflate(&stream, Z_NO_FLUSH);
    out.resize(out.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  // The files are the build's own: a test reads each of them.
  if (status != Z_STREAM_END) log::error("an embedded file of Swagger UI is broken");
  return out;
}

std::string_view type_of(std::string_view name) {
  if (name.ends_with(".html")) return "text/html; charset=utf-8";
  if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  return "image/png";
}

const std::vector<Asset>& assets() {
  static const std::vector<Asset> all = [] {
    std::vector<Asset> made;
    for (const auto& file : kSwaggerFiles) {
      Asset asset{.name = file.name};
      if (asset.name.ends_with(".gz")) {
        asset.name.remove_suffix(3);
        asset.packed = file.bytes;
        asset.plain = unpack(file.bytes);
      } else {
        asset.plain = file.bytes;
      }
      asset.type = type_of(asset.name);
      asset.tag = content_tag(asset.plain);
      made.push_back(std::move(asset));
    }
    return made;
  }();
  return all;
}

bool takes_gzip(std::string_view header) {
  while (!header.empty()) {
    auto part = header.substr(0, header.find(','));
    header.remove_prefix(std::min(header.size(), part.size() + 1));
    auto name = trim(part.substr(0, part.find(';')));
    bool refused = part.find("q=0") != std::string_view::npos && part.find("q=0.") == std::string_view::npos;
    if (equals_ignoring_case(name, "gzip") && !refused) return true;
  }
  return false;
}

Response serve(const Call& call, std::string_view name) {
  const auto& all = assets();
  auto asset = std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.name == name; });
  if (asset == all.end()) return fail("com-4004", "there is no " + call.request.path);
  Response response{.content_type = std::string(asset->type)};
  response.etag = asset->tag;
  if (!asset->packed.empty()) {
    response.with("Vary", "Accept-Encoding");
    if (takes_gzip(call.request.header("accept-encoding"))) {
      response.body = asset->packed;
      response.with("Content-Encoding", "gzip");
      // Other bytes, another strong tag.
      response.etag.insert(response.etag.size() - 1, ".gz");
    }
  }
  if (response.body.empty()) response.body = asset->plain;
  response
      .with("Cache-Control", "no-cache")  // kept, but asked for: a new version of the program shows at once
      .with("Content-Security-Policy", kPolicy)
      .with("X-Content-Type-Options", "nosniff")
      .with("Referrer-Policy", "no-referrer");
  return response;
}

Response index(Call& call) {
  return serve(call, "index.html");
}

Response file(Call& call) {
  return serve(call, call.params[0]);
}

Response to_folder(Call&) {
  return Response{.status = 302, .content_type = ""}.with("Location", kFolder);
}

}  // namespace

void add_swagger(std::vector<Route>& routes) {
  routes.push_back({"GET", "/iot-flow/v1/swagger-ui.html", Access::open, to_folder, Body::none, "*"});
  routes.push_back({"GET", "/iot-flow/v1/swagger-ui", Access::open, to_folder, Body::none, "*"});
  routes.push_back({"GET", kFolder, Access::open, index, Body::none, "*"});
  routes.push_back({"GET", "/iot-flow/v1/swagger-ui/{file}", Access::open, file, Body::none, "*"});
}

}  // namespace sluice::api
