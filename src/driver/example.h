// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/value.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "driver/engine.h"

namespace sluice::driver {

// One example of a driver, whatever form it was written in (spec drivers.md 12), brought to the current form.
struct Example {
  enum class Kind : std::uint8_t { uplink, downlink_decode, downlink_encode, points };
  Kind kind = Kind::uplink;
  std::string description;
  std::string file;  // where it stands, for a report: "examples.json", "README.md"
  // As in 12.1: bytes (lower-case hex text), fPort, time, thing, context, DevEUI; encoding: data, fPort; points:
  // message, time, thing. `time` is the text that the example has. Further members are what the example has beside
  // these.
  boost::json::object input;
  // What the function returns, brought to {data, errors, warnings} or {bytes, fPort, errors, warnings} (6.1); `bytes`
  // as lower-case hex text where they are bytes; a member that the example does not have is absent. Absent for an error
  // example and for `points`.
  std::optional<boost::json::value> output;
  std::optional<boost::json::object> points;  // uplinks: expected ones, {}: none; nothing: not looked at (12.4)
  std::optional<std::string> error;           // 12.3: text that the thrown message contains
  bool use_context = false;
  // The flat form's downlinks stand for decoding and encoding, each where the driver has it (12.2): not run, and no
  // failure, where the driver lacks the operation.
  bool if_offered = false;
  // Errors and samples from production: for tests, not kept with an installed driver (2.1).
  bool for_tests = false;

  friend bool operator==(const Example&, const Example&) = default;
};

// The forms that examples are written in.
enum class ExampleForm : std::uint8_t {
  current,            // examples.json (12.1); flat entries among them are read as such
  legacy,             // examples/*.examples.json (12.2)
  errors,             // errors/*.errors.json (12.3)
  samples,            // nonRegressionSamples.json, non-regression.json (12.4)
  chirpstack_decode,  // test_decode_*.json: {name or description, input, expected}
  chirpstack_encode,  // test_encode_*.json
  readme,             // README.md: blocks ```json, in which a comment with hex bytes stands before what they decode to
};

struct ExamplesRead {
  std::vector<Example> examples;
  std::vector<std::string> faults;  // what was passed over: "examples.json [3]: no input"
};

// Reads a file's examples: leniently (lenient.h), at most 4 MiB and 10,000 entries, never failing as a whole.
// `signature` is the driver's where it is declared: under all but lora-alliance an output is the data itself, whatever
// it holds.
ExamplesRead read_examples(std::string_view text, const std::string& file, ExampleForm form,
                           std::optional<Signature> signature = {});

// A list of {description, input, output} as The Things Network's codec YAML has it, already turned into JSON.
ExamplesRead read_ttn_examples(const boost::json::value& list, const std::string& file, Example::Kind kind);

// The API's flat form (api.md 7), with further members so that nothing is lost:
//   operation        "decode", "encode" or "points"; absent for a downlink that stands for both ways
//   requestFPort     what encoding is asked with, where it is not `fPort`; null: no port
//   answerFPort      null: the encoder gives no port, and `fPort` is the request's
//   thing, context, DevEUI, useContext, errors, warnings, error, ifOffered
//   input, output    objects of further members
boost::json::object to_api(const Example& example);

// The reverse. A downlink without `operation` is encoding where the driver can, else decoding. Errors: permanent,
// naming the member.
Result<Example> from_api(const boost::json::object& flat, bool can_encode);

// Whole lists: a pair of one downlink's two ways is one entry of the API, and such an entry gives both ways.
boost::json::array examples_to_api(const std::vector<Example>& examples);
ExamplesRead examples_from_api(const boost::json::array& list);

}  // namespace sluice::driver
