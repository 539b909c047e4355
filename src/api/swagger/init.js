// SPDX-License-Identifier: Apache-2.0
'use strict';
// No validator: nothing goes to another host. The token lives as long as the page.
window.ui = SwaggerUIBundle({
  url: '../v3/api-docs',
  dom_id: '#swagger-ui',
  deepLinking: true,
  docExpansion: 'list',
  filter: true,
  validatorUrl: null,
  persistAuthorization: false,
  presets: [SwaggerUIBundle.presets.apis],
  layout: 'BaseLayout',
});
