// Addresses are relative, so that the page also works below a path of a proxy.
SwaggerUIBundle({
  url: 'v1/openapi.json',
  dom_id: '#page',
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  // It would ask a server of somebody else.
  validatorUrl: null,
});
