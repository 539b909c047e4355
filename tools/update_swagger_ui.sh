#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Replaces third_party/swagger-ui by another version: update_swagger_ui.sh VERSION INTEGRITY (as `npm view` tells it).
set -euo pipefail
version=${1:?version} integrity=${2:?integrity}
target=$(cd "$(dirname "${BASH_SOURCE[0]}")/../third_party/swagger-ui" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm pack --silent "swagger-ui-dist@$version" >/dev/null
got=sha512-$(openssl dgst -sha512 -binary "swagger-ui-dist-$version.tgz" | base64 -w0)
[ "$got" = "$integrity" ] || { echo "the package has integrity $got, expected $integrity" >&2; exit 1; }
tar xzf "swagger-ui-dist-$version.tgz"
for file in swagger-ui-bundle.js swagger-ui.css; do
  sed '/^\(\/\/\|\/\*\)# sourceMappingURL/d' "package/$file" | gzip -9n >"$target/$file.gz"
done
cp package/LICENSE package/NOTICE package/favicon-32x32.png package/swagger-ui-bundle.js.LICENSE.txt "$target/"
old=$(sed -n 's/^ *\(sha512-.*\)$/\1/p' "$target/README.md")
sed -i "s|$old|$integrity|; s/^Swagger UI [0-9.]*/Swagger UI $version/" "$target/README.md"
