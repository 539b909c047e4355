// SPDX-License-Identifier: Apache-2.0
#include "connector/pem.h"

#include <memory>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <vector>

namespace sluice::connector {
namespace {

constexpr std::string_view kDashes = "-----";
// As some pages print them.
constexpr std::string_view kFewDashes = "--";
constexpr std::size_t kPlaceholder = 100;

struct Block {
  std::string label;
  std::string content;  // base64 without any white space, or the headers of an encrypted key run together
};

Error bad(std::string text) {
  return Error{ErrorKind::bad_config, std::move(text), "com-4000"};
}

std::string without_breaks(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == 'n' || text[i + 1] == 'r')) {
      ++i;
    } else if (text[i] != '\n' && text[i] != '\r' && text[i] != ' ' && text[i] != '\t') {
      out += text[i];
    }
  }
  return out;
}

Result<std::vector<Block>> blocks_of(std::string_view text) {
  bool usual = text.find(std::string(kDashes) + "BEGIN ") != std::string_view::npos;
  std::string dashes(usual ? kDashes : kFewDashes), begin = dashes + "BEGIN ";
  std::vector<Block> blocks;
  std::size_t at = text.find(begin);
  while (at != std::string_view::npos) {
    auto label_start = at + begin.size();
    auto label_end = text.find(dashes, label_start);
    if (label_end == std::string_view::npos) return bad("the -----BEGIN ...----- marker is not closed");
    std::string label(text.substr(label_start, label_end - label_start));
    auto content_start = label_end + dashes.size();
    auto end = text.find(dashes + "END " + label + dashes, content_start);
    if (end == std::string_view::npos) return bad("the -----END " + label + "----- marker is missing");
    blocks.push_back({label, without_breaks(text.substr(content_start, end - content_start))});
    at = text.find(begin, end);
  }
  if (blocks.empty()) return bad("not PEM: there is no -----BEGIN ...----- marker");
  return blocks;
}

using BioPtr = std::unique_ptr<BIO, decltype(&BIO_free)>;
using X509Ptr = std::unique_ptr<X509, decltype(&X509_free)>;
using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

BioPtr reader(const std::string& pem) {
  return {BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free};
}

// No passphrase is ever asked for on a terminal.
int no_passphrase(char*, int, int, void*) {
  return -1;
}

KeyPtr read_key(const std::string& pem) {
  auto bio = reader(pem);
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr), EVP_PKEY_free);
  ERR_clear_error();
  return key;
}

X509Ptr read_certificate(BIO* bio) {
  X509Ptr certificate(PEM_read_bio_X509_AUX(bio, nullptr, no_passphrase, nullptr), X509_free);
  ERR_clear_error();
  return certificate;
}

}  // namespace

Result<std::string> normalise_pem(std::string_view text) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return std::string();
  auto blocks = blocks_of(text);
  if (!blocks) return blocks.error();
  std::string out;
  for (const auto& block : *blocks) {
    out.append(kDashes).append("BEGIN ").append(block.label).append(kDashes) += '\n';
    for (std::size_t i = 0; i < block.content.size(); i += 64)
      out.append(block.content, i, 64) += '\n';
    out.append(kDashes).append("END ").append(block.label).append(kDashes) += '\n';
  }
  return out;
}

bool is_placeholder_pem(std::string_view text) {
  auto blocks = blocks_of(text);
  if (!blocks) return false;
  for (const auto& block : *blocks) {
    if (block.content.size() >= kPlaceholder) return false;
  }
  return true;
}

Result<void> check_certificates(const std::string& pem) {
  auto blocks = blocks_of(pem);
  if (!blocks) return blocks.error();
  auto bio = reader(pem);
  for (std::size_t i = 0; i < blocks->size(); ++i) {
    if ((*blocks)[i].label.find("CERTIFICATE") == std::string::npos) {
      return bad("holds a " + (*blocks)[i].label + " where a certificate is expected");
    }
    if (!read_certificate(bio.get())) return bad("certificate " + std::to_string(i + 1) + " can't be read");
  }
  return {};
}

Result<void> check_key(const std::string& pem) {
  if (pem.find("ENCRYPTED") != std::string::npos) {
    return bad("the private key is encrypted; give it without a passphrase");
  }
  if (!read_key(pem)) return bad("the private key can't be read; PKCS#8, PKCS#1 and SEC1 are possible");
  return {};
}

Result<void> check_key_fits(const std::string& certificate_pem, const std::string& key_pem) {
  auto bio = reader(certificate_pem);
  auto certificate = read_certificate(bio.get());
  auto key = read_key(key_pem);
  if (!certificate || !key) return bad("the certificate or its key can't be read");
  bool fits = X509_check_private_key(certificate.get(), key.get()) == 1;
  ERR_clear_error();
  if (!fits) return bad("the private key does not belong to the certificate");
  return {};
}

}  // namespace sluice::connector
