// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace sluice::driver {

// The JavaScript that is run in a global object before a driver. Each text is one expression (see the .js files).
inline constexpr std::string_view kPreludeBuffer =
#include "driver/prelude_buffer.js"
    ;
inline constexpr std::string_view kPreludeEnvironment =
#include "driver/prelude_environment.js"
    ;
// For trusted drivers only.
inline constexpr std::string_view kPreludeCrypto =
#include "driver/prelude_crypto.js"
    ;
inline constexpr std::string_view kPrelude =
#include "driver/prelude.js"
    ;

// Run in the driver's global object after it: top-level let, const and class are in reach of a script, not of the C
// API. The order is that of `bind` in prelude.js.
inline constexpr std::string_view kLookUp =
    "[typeof driver==='undefined'?undefined:driver,typeof exports==='undefined'?undefined:exports,"
    "typeof module==='undefined'?undefined:module,typeof decodeUplink==='undefined'?undefined:decodeUplink,"
    "typeof decodeDownlink==='undefined'?undefined:decodeDownlink,"
    "typeof encodeDownlink==='undefined'?undefined:encodeDownlink,"
    "typeof extractPoints==='undefined'?undefined:extractPoints,typeof Decoder==='undefined'?undefined:Decoder,"
    "typeof Encoder==='undefined'?undefined:Encoder,typeof Decode==='undefined'?undefined:Decode,"
    "typeof Encode==='undefined'?undefined:Encode]";

}  // namespace sluice::driver
