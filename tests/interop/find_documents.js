// node find_documents.js WSDL PATIENT: FindDocuments by node-soap, which learns everything from our WSDL.
// Prints {"operations": [...], "status": "...", "uniqueIds": [...]}.
"use strict";

const soap = require("soap");

const ADDRESSING = "http://www.w3.org/2005/08/addressing";
const FIND_DOCUMENTS = "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d";
const UNIQUE_ID = "urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab";
const APPROVED = "urn:oasis:names:tc:ebxml-regrep:StatusType:Approved";

const list = (value) => (value === undefined ? [] : [].concat(value));
const slot = (name, value) => ({ attributes: { name }, ValueList: { Value: [value] } });

async function main(wsdl, patient) {
  const client = await soap.createClientAsync(wsdl, { forceSoap12Headers: true });
  client.addSoapHeader({
    "wsa:Action": "urn:ihe:iti:2007:RegistryStoredQuery",
    "wsa:MessageID": "urn:uuid:5f1d5d0c-6f0e-4bb5-8b2a-9c8a35f0d0aa",
    "wsa:To": wsdl.split("?")[0],
  }, "", "wsa", ADDRESSING);
  const [answer] = await client["DocumentRegistry_RegistryStoredQueryAsync"]({
    ResponseOption: { attributes: { returnComposedObjects: "true", returnType: "LeafClass" } },
    AdhocQuery: {
      attributes: { id: FIND_DOCUMENTS },
      Slot: [
        slot("$XDSDocumentEntryPatientId", `'${patient}'`),
        slot("$XDSDocumentEntryStatus", `('${APPROVED}')`),
      ],
    },
  });
  const port = Object.values(Object.values(client.describe())[0])[0];
  const entries = list(answer.RegistryObjectList?.ExtrinsicObject);
  const uniqueIds = entries.map((entry) => list(entry.ExternalIdentifier)
    .find((id) => id.attributes.identificationScheme === UNIQUE_ID).attributes.value);
  console.log(JSON.stringify({ operations: Object.keys(port), status: answer.attributes.status, uniqueIds }));
}

main(process.argv[2], process.argv[3]).catch((error) => {
  console.error(error.response?.data ?? error);
  process.exitCode = 1;
});
