// SPDX-License-Identifier: Apache-2.0
#include "base/crypto.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/codec.h"

namespace sluice {
namespace {

constexpr std::size_t kNonceSize = 12;
constexpr std::size_t kTagSize = 16;
constexpr std::string_view kSealedPrefix = "v1:";

const unsigned char* data(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* data(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}

using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

// Interactive logins: 16 MiB and some 30 ms a check.
constexpr std::uint64_t kScryptN = 16384, kScryptR = 8, kScryptP = 1;

std::string scrypt(std::string_view secret, std::string_view salt) {
  std::string out(32, '\0');
  ENSURE(EVP_PBE_scrypt(secret.data(), secret.size(), data(salt), salt.size(), kScryptN, kScryptR, kScryptP, 64 << 20,
                        data(out), out.size()) == 1);
  return out;
}

}  // namespace

std::string sha256(std::string_view bytes) {
  std::string out(SHA256_DIGEST_LENGTH, '\0');
  SHA256(data(bytes), bytes.size(), data(out));
  return out;
}

std::string hmac_sha256(std::string_view key, std::string_view bytes) {
  std::string out(SHA256_DIGEST_LENGTH, '\0');
  unsigned int size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), data(bytes), bytes.size(), data(out), &size);
  return out;
}

std::string random_bytes(std::size_t count) {
  std::string out(count, '\0');
  ENSURE(RAND_bytes(data(out), static_cast<int>(count)) == 1);
  return out;
}

std::string random_uuid() {
  auto bytes = random_bytes(16);
  bytes[6] = static_cast<char>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<char>((bytes[8] & 0x3f) | 0x80);
  auto hex = to_hex(bytes);
  return hex.substr(0, 8) + "-" + hex.substr(8, 4) + "-" + hex.substr(12, 4) + "-" + hex.substr(16, 4) + "-" +
         hex.substr(20);
}

std::string random_secret(std::size_t count) {
  static constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  std::string out;
  while (out.size() < count) {
    for (unsigned char c : random_bytes(count)) {
      // 248 is the largest multiple of 62 in a byte: without the cut the first letters would be likelier.
      if (c < 248 && out.size() < count) out += kAlphabet[c % 62];
    }
  }
  return out;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string hash_secret(std::string_view secret) {
  auto salt = random_bytes(16);
  return "scrypt$" + to_base64(salt) + "$" + to_base64(scrypt(secret, salt));
}

bool verify_secret(std::string_view secret, std::string_view hash) {
  constexpr std::string_view kPrefix = "scrypt$";
  auto second = hash.find('$', kPrefix.size());
  if (hash.substr(0, kPrefix.size()) != kPrefix || second == std::string_view::npos) return false;
  auto salt = from_base64(hash.substr(kPrefix.size(), second - kPrefix.size()));
  auto expected = from_base64(hash.substr(second + 1));
  return salt && expected && equal_in_constant_time(scrypt(secret, *salt), *expected);
}

SecretBox::SecretBox(std::string key32) : key_(std::move(key32)) {
  ENSURE(key_.size() == 32);
}

std::string SecretBox::seal(std::string_view plain, std::string_view context) const {
  auto nonce = random_bytes(kNonceSize);
  std::string cipher(plain.size(), '\0');
  std::string tag(kTagSize, '\0');
  CipherContext ctx(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  int size = 0;
  ENSURE(EVP_EncryptInit_ex(ctx.get(), EVP_aes_256_gcm(), nullptr, data(std::string_view(key_)), data(nonce)) == 1);
  ENSURE(EVP_EncryptUpdate(ctx.get(), nullptr, &size, data(context), static_cast<int>(context.size())) == 1);
  ENSURE(EVP_EncryptUpdate(ctx.get(), data(cipher), &size, data(plain), static_cast<int>(plain.size())) == 1);
  ENSURE(EVP_EncryptFinal_ex(ctx.get(), data(cipher) + size, &size) == 1);
  ENSURE(EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_GCM_GET_TAG, kTagSize, tag.data()) == 1);
  return std::string(kSealedPrefix) + to_base64(nonce + cipher + tag);
}

Result<std::string> SecretBox::open(std::string_view sealed, std::string_view context) const {
  Error wrong{ErrorKind::bad_config, "a stored secret cannot be opened: it is damaged or the key file is another one"};
  if (sealed.substr(0, kSealedPrefix.size()) != kSealedPrefix) return wrong;
  auto bytes = from_base64(sealed.substr(kSealedPrefix.size()));
  if (!bytes || bytes->size() < kNonceSize + kTagSize) return wrong;
  std::string_view all(*bytes);
  auto nonce = all.substr(0, kNonceSize);
  auto cipher = all.substr(kNonceSize, all.size() - kNonceSize - kTagSize);
  std::string tag(all.substr(all.size() - kTagSize));
  std::string plain(cipher.size(), '\0');
  CipherContext ctx(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  int size = 0;
  if (EVP_DecryptInit_ex(ctx.get(), EVP_aes_256_gcm(), nullptr, data(std::string_view(key_)), data(nonce)) != 1 ||
      EVP_DecryptUpdate(ctx.get(), nullptr, &size, data(context), static_cast<int>(context.size())) != 1 ||
      EVP_DecryptUpdate(ctx.get(), data(plain), &size, data(cipher), static_cast<int>(cipher.size())) != 1 ||
      EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_GCM_SET_TAG, kTagSize, tag.data()) != 1 ||
      EVP_DecryptFinal_ex(ctx.get(), data(plain) + size, &size) != 1) {
    return wrong;
  }
  return plain;
}

namespace {

Error key_error(const char* doing, const std::string& path) {
  return {ErrorKind::bad_config,
          std::string("cannot ") + doing + " the key file " + path + ": " + std::strerror(errno)};
}

// So that a name just given is still there after a power cut.
bool sync_directory_of(const std::string& path) {
  auto slash = path.rfind('/');
  auto directory = slash == std::string::npos ? std::string(".") : path.substr(0, slash + 1);
  int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool synced = fd >= 0 && ::fsync(fd) == 0;
  if (fd >= 0) ::close(fd);
  return synced;
}

}  // namespace

Result<void> make_key(const std::string& path) {
  // Whole or not at all: a process that is killed in between must not leave half a key behind.
  auto fresh = path + "." + to_hex(random_bytes(4));
  int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return key_error("make", path);
  auto text = to_hex(random_bytes(32)) + "\n";
  bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(fd) == 0;
  ::close(fd);
  // Never over one that is there.
  bool linked = written && (::link(fresh.c_str(), path.c_str()) == 0 || errno == EEXIST);
  int reason = errno;
  ::unlink(fresh.c_str());
  errno = reason;
  if (!linked || !sync_directory_of(path)) return key_error("write", path);
  return {};
}

Result<std::string> read_key(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return key_error("read", path);
  char buffer[128];
  auto size = ::read(fd, buffer, sizeof buffer);
  ::close(fd);
  auto key = from_hex(trim(std::string_view(buffer, size > 0 ? static_cast<std::size_t>(size) : 0)));
  if (!key || key->size() != 32) {
    return Error{ErrorKind::bad_config, "the key file " + path + " must hold 64 hex digits"};
  }
  return *key;
}

Result<void> replace_key(const std::string& fresh, const std::string& path) {
  if (::rename(fresh.c_str(), path.c_str()) != 0 || !sync_directory_of(path)) return key_error("replace", path);
  return {};
}

Result<std::string> load_or_make_key(const std::string& path) {
  if (::access(path.c_str(), F_OK) != 0) {
    if (auto made = make_key(path); !made) return made.error();
  }
  return read_key(path);
}

}  // namespace sluice
