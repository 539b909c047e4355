// SPDX-License-Identifier: Apache-2.0
#include "connection/cut.h"

#include <boost/json/array.hpp>
#include <gtest/gtest.h>

namespace sluice::connection {
namespace {

TEST(Cut, SecretsGoWhereverTheyStand) {
  auto secrets = texts_of_secrets({{"/password", "hunter22"},
                                   {"/headers/Authorization", "Bearer abcdefgh12"},
                                   {"/short", "abc"},
                                   {"/list", boost::json::array{"in a list"}}});
  EXPECT_EQ(cut_secrets("hunter22 and hunter22, abcdefgh12; Bearer abcdefgh12; in a list; abc", secrets),
            "***** and *****, *****; *****; *****; abc");
  EXPECT_EQ(cut_secrets("nothing", secrets), "nothing");
  EXPECT_EQ(cut_secrets("", secrets), "");
}

TEST(Cut, TextOfPeersBecomesPrintable) {
  EXPECT_EQ(clean_text("gr\xc3\xbc\xc3\x9f\n"), "gr\xc3\xbc\xc3\x9f\n");
  EXPECT_EQ(clean_text(std::string_view("a\0b\x1b[2J", 7)), "a?b?[2J");
  EXPECT_EQ(clean_text("\xff\xc3\xbc\xc3"), "?\xc3\xbc?");
  EXPECT_EQ(clean_text("\xed\xa0\x80"), "???");
}

}  // namespace
}  // namespace sluice::connection
