"use strict";

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: "list",
  // Schemas are shown where they are used; keep the list at the end collapsed.
  defaultModelsExpandDepth: 0,
  persistAuthorization: false,
  tryItOutEnabled: true,
  // A validator would send the document to another host.
  validatorUrl: null,
  // Keep the browser's password dialog and its stored credentials out of the calls.
  requestInterceptor: (request) => Object.assign(request, { credentials: "omit" }),
});
