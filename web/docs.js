"use strict";

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: "list",
  // Schemas are shown where they are used; the list of all at the end stays closed.
  defaultModelsExpandDepth: 0,
  persistAuthorization: false,
  tryItOutEnabled: true,
  // Would send the document to a host outside.
  validatorUrl: null,
  // The browser's own dialogue for passwords, and what it remembers, stay out of it.
  requestInterceptor: (request) => Object.assign(request, { credentials: "omit" }),
});
