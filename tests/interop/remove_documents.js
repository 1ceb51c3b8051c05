// node remove_documents.js WSDL REPOSITORY DOCUMENT: ITI-86 by node-soap. Prints {"status": "...", "codes": [...]}.
"use strict";

const soap = require("soap");

const ADDRESSING = "http://www.w3.org/2005/08/addressing";
const list = (value) => (value === undefined ? [] : [].concat(value));

async function main(wsdl, repository, document) {
  const client = await soap.createClientAsync(wsdl, { forceSoap12Headers: true });
  client.addSoapHeader({
    "wsa:Action": "urn:ihe:iti:2017:RemoveDocuments",
    "wsa:MessageID": "urn:uuid:5f1d5d0c-6f0e-4bb5-8b2a-9c8a35f0d0ab",
    "wsa:To": wsdl.split("?")[0],
  }, "", "wsa", ADDRESSING);
  const [answer] = await client["DocumentRepository_RemoveDocumentsAsync"]({
    DocumentRequest: [{ RepositoryUniqueId: repository, DocumentUniqueId: document }],
  });
  const codes = list(answer.RegistryErrorList?.RegistryError).map((error) => error.attributes.errorCode);
  console.log(JSON.stringify({ status: answer.attributes.status, codes }));
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error.response?.data ?? error);
  process.exitCode = 1;
});
