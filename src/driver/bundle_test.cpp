// SPDX-License-Identifier: Apache-2.0
// The shapes in which drivers come: bundles of every tool, heads, polyfills, odd characters (spec drivers.md 4.2, 9).
#include <gtest/gtest.h>

#include "driver/test_engine.h"

namespace sluice::driver {
namespace {

void expect_works(const std::string& source) {
  const auto out = decode(source, "07");
  EXPECT_EQ(out.data, "7") << out.message << "\n" << source.substr(0, 300);
}

constexpr const char* kDecode = "function decodeUplink(input) { return { data: input.bytes[0] }; }";

TEST(Bundles, OfEveryTool) {
  const std::string decode = kDecode;
  // webpack: library `driver`; its modules in a table, with the helper functions it writes.
  expect_works(
      "var driver;(()=>{\"use strict\";var "
      "e={7:(e,t)=>{Object.defineProperty(t,\"__esModule\",{value:!0}),t.decodeUplink=void "
      "0;t.decodeUplink=function(e){return{data:e.bytes[0]}}}},t={};function r(o){var n=t[o];if(void 0!==n)return "
      "n.exports;var "
      "i=t[o]={exports:{}};return e[o](i,i.exports,r),i.exports}r.g=function(){if(\"object\"==typeof globalThis)return "
      "globalThis;try{return this||new Function(\"return this\")()}catch(e){if(\"object\"==typeof window)return "
      "window}}();r.r=e=>{\"undefined\"!=typeof "
      "Symbol&&Symbol.toStringTag&&Object.defineProperty(e,Symbol.toStringTag,{value:\"Module\"})};var o={};(()=>{var "
      "e=o;r.r(e);e.decodeUplink=r(7).decodeUplink})(),driver=o})();");
  // UMD, as webpack and rollup write it.
  expect_works(
      "(function webpackUniversalModuleDefinition(root, factory) { if (typeof exports === 'object' && typeof module "
      "=== 'object') "
      "module.exports = factory(); else if (typeof define === 'function' && define.amd) define([], factory); else if "
      "(typeof "
      "exports === 'object') exports['driver'] = factory(); else root['driver'] = factory(); })(this, function () { "
      "return { "
      "decodeUplink: " +
      decode + " }; });");
  expect_works(
      "(function (global, factory) { typeof exports === 'object' && typeof module !== 'undefined' ? factory(exports) : "
      "typeof "
      "define === 'function' && define.amd ? define(['exports'], factory) : (global = typeof globalThis !== "
      "'undefined' ? "
      "globalThis : global || self, factory(global.driver = {})); })(this, (function (exports) { 'use strict'; " +
      decode +
      " exports.decodeUplink = decodeUplink; Object.defineProperty(exports, '__esModule', { value: true }); }));");
  expect_works("(function (root) { " + decode +
               " (typeof self !== 'undefined' ? self : root).driver = { decodeUplink }; })(this);");
  // esbuild: iife with a global name, and cjs with its getters.
  expect_works(
      "var driver = (() => { var __defProp = Object.defineProperty; var __export = (target, all) => { for (var name in "
      "all) "
      "__defProp(target, name, { get: all[name], enumerable: true }); }; var index_exports = {}; "
      "__export(index_exports, { "
      "decodeUplink: () => decodeUplink }); " +
      decode + " return index_exports; })();");
  expect_works(
      "var __defProp = Object.defineProperty; var __getOwnPropNames = Object.getOwnPropertyNames; var __hasOwnProp = "
      "Object.prototype.hasOwnProperty; var __copyProps = (to, from) => { for (let key of __getOwnPropNames(from)) if "
      "(!__hasOwnProp.call(to, key)) __defProp(to, key, { get: () => from[key], enumerable: true }); return to; }; var "
      "__toCommonJS = (mod) => __copyProps(__defProp({}, '__esModule', { value: true }), mod); var x = {}; "
      "__defProp(x, "
      "'decodeUplink', { get: () => d, enumerable: true }); module.exports = __toCommonJS(x); function d(input) { "
      "return { data: "
      "input.bytes[0] }; }");
  // TypeScript, rollup cjs, browserify's require chain.
  expect_works(
      "\"use strict\";\nObject.defineProperty(exports, \"__esModule\", { value: true });\nexports.decodeUplink = void "
      "0;\n" +
      decode + "\nexports.decodeUplink = decodeUplink;");
  expect_works("'use strict'; " + decode + " module.exports = { decodeUplink: decodeUplink };");
  expect_works("exports.driver = { decodeUplink: (input) => ({ data: input.bytes[0] }) };");
  expect_works("Object.defineProperty(exports, 'driver', { enumerable: true, get: function () { return { " +
               decode.substr(9) + " }; } });");
  expect_works(
      "(function e(t, n, r) { function s(o) { if (!n[o]) { var l = n[o] = { exports: {} }; t[o][0].call(l.exports, "
      "function (e) { "
      "return s(t[o][1][e]); }, l, l.exports); } return n[o].exports; } return s(r[0]); })({ 1: [function (require, "
      "module, "
      "exports) { driver = require('./x'); }, { './x': 2 }], 2: [function (require, module, exports) { module.exports "
      "= { "
      "decodeUplink: " +
      decode + " }; }, {}] }, {}, [1]); var driver;");
  expect_works(
      "class Decoder { decodeUplink(input) { return { data: this.first(input) }; } first(i) { return i.bytes[0]; } } "
      "const driver = "
      "new Decoder();");
  expect_works("if (typeof module !== 'undefined' && module.exports) { module.exports = { decodeUplink }; } " + decode);
  expect_works("var Buffer = require('buffer').Buffer; const { Buffer: B2 } = require('node:buffer'); " + decode);
  expect_works("function Buffer(x) { this.x = x; } " + decode);
  expect_works(
      "let exports = 1; const module = 2; class console {} let input, context, require, note, errors, from, "
      "checkInt; " +
      decode);
}

TEST(Bundles, HeadsAndOddCharacters) {
  const std::string decode = kDecode;
  expect_works("\xef\xbb\xbf" + decode);
  expect_works("\xef\xbb\xbf\"use strict\";\r\n" + decode + "\r\n");
  expect_works("#!/usr/bin/env node\n" + decode);
  expect_works("// a\r\n/* b\r\n */\r\n" + decode + "\r\n// end without a line feed");
  expect_works("// \xe2\x80\xa8" + decode);  // U+2028 ends a comment
  expect_works("var s = '\xe2\x80\xa8\xe2\x80\xa9'; " + decode);
  expect_works("var \xc3\xa9t\xc3\xa9 = 1, \xe6\xb8\xa9\xe5\xba\xa6 = '\xf0\x9f\x8c\xa1'; " + decode);
  expect_works("// \xff\xfe broken bytes\n" + decode);
  expect_works("var long = '" + std::string(300000, 'x') + "'; " + decode);
  expect_works(std::string(5000, '\n') + decode + std::string(20000, ' '));
  expect_works("undeclared = 1; var f = function () { return this; }(); f.other = 2; " + decode);
  expect_works("<!-- an HTML comment\n" + decode + "\n--> another");
  expect_works("var o = { a: 010, b: '\\251' }; with (o) { var c = a; } " + decode);
  expect_works("(function () { 'use strict'; try { undeclaredHere = 1; } catch (e) { return; } throw 1; })(); " +
               decode);
}

TEST(Bundles, OldPolyfills) {
  const std::string decode = kDecode;
  expect_works(
      "var check = function (it) { return it && it.Math === Math && it; }; var g = check(typeof globalThis == 'object' "
      "&& "
      "globalThis) || check(typeof window == 'object' && window) || check(typeof self == 'object' && self) || "
      "check(typeof global "
      "== 'object' && global) || (function () { return this; })() || Function('return this')(); g.core = 1; if (core "
      "!== 1) throw "
      "1; " +
      decode);
  expect_works(
      "String.prototype.padStart = function (n, c) { return 'own'; }; Array.prototype.includes = function () { return "
      "true; }; "
      "Object.assign = function (a) { return a; }; Number.isInteger = function () { return false; }; Array.isArray = "
      "function "
      "() { return false; }; Array.from = null; " +
      decode);
  expect_works(
      "Object.defineProperty(Array.prototype, 'last', { get: function () { return this[this.length - 1]; } }); "
      "Array.prototype.extra = function () {}; Object.prototype.mine = 1; " +
      decode);
  expect_works(
      "var __extends = (this && this.__extends) || function (d, b) { Object.setPrototypeOf(d, b); function __() { "
      "this.constructor "
      "= d; } d.prototype = (__.prototype = b.prototype, new __()); }; var __assign = (this && this.__assign) || "
      "Object.assign; "
      "var A = function () {}; var B = (function (_super) { __extends(B, _super); function B() { return "
      "_super.call(this) || "
      "this; } return B; })(A); new B(); " +
      decode);
}

}  // namespace
}  // namespace sluice::driver
