// SPDX-License-Identifier: Apache-2.0
#include "app/terminal.h"

#include <gtest/gtest.h>

namespace sluice::app {
namespace {

TEST(Terminal, PaintsOnlyWhereColoursAreOn) {
  EXPECT_EQ(Terminal(false, 80).paint(Terminal::Ink::red, "x"), "x");
  EXPECT_EQ(Terminal(true, 80).paint(Terminal::Ink::red, "x"), "\x1b[31mx\x1b[0m");
  EXPECT_EQ(Terminal(true, 80).paint(Terminal::Ink::plain, "x"), "x");
  EXPECT_EQ(Terminal(true, 80).paint(Terminal::Ink::red, ""), "");
}

TEST(Terminal, LetsNoTextSteerIt) {
  EXPECT_EQ(printable("a\x1b[31mb\rc\nd\te\x7f"), "a\\x1b[31mb\\x0dc\\x0ad\te\\x7f");
  EXPECT_EQ(printable("a\nb", true), "a\nb");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\x9b31m");
  EXPECT_EQ(printable("\xc2\xb0 \xe2\x82\xac \xf0\x9f\x8c\xa1"), "\xc2\xb0 \xe2\x82\xac \xf0\x9f\x8c\xa1");
  EXPECT_EQ(printable("\xff\xc3"), "\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(Terminal, CountsColumns) {
  EXPECT_EQ(columns("\xc2\xb0"
                    "C"),
            2U);
  EXPECT_EQ(shortened("abcdef", 6), "abcdef");
  EXPECT_EQ(shortened("abcdef", 4), "abc\xe2\x80\xa6");
  EXPECT_EQ(shortened("\xc2\xb0\xc2\xb0\xc2\xb0", 2), "\xc2\xb0\xe2\x80\xa6");
  EXPECT_EQ(padded("\xc2\xb0", 3), "\xc2\xb0  ");
  EXPECT_EQ(padded("abc", 2), "abc");
}

TEST(Terminal, WritesNumbers) {
  EXPECT_EQ(with_commas(0), "0");
  EXPECT_EQ(with_commas(999), "999");
  EXPECT_EQ(with_commas(1000), "1,000");
  EXPECT_EQ(with_commas(1234567), "1,234,567");
  EXPECT_EQ(counted(1, "driver"), "1 driver");
  EXPECT_EQ(counted(0, "driver"), "0 drivers");
}

}  // namespace
}  // namespace sluice::app
