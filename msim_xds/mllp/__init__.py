"""Patient feeds by HL7 v2 over MLLP: ITI-8 (ITI TF-2 3.8), ITI-64 (ITI TF-2 3.64), MLLP (Appendix C.2.1)."""
