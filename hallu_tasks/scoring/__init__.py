"""Pure scorers: text in, numbers out. No torch, no lmms-eval, no network.

Import the modules, ``from hallu_tasks.scoring import chair, yesno, pope, mme, amber, textvqa, opope, hallusion,
dash_b, choices, paired``.

What holds for every scorer:

* Scores are percentages (0-100) and counts end in ``_count``. The exceptions say their unit where they are
  documented: means (`mean_length`, `mean_mentions`), MME's points, p values (0-1).
* A score whose denominator is zero is ``None``, and ``result["reasons"]`` says why under the same key.
* A scorer turns each document into a flat record of summable numbers and text labels such as ``mode``
  (`chair.record`, `pope.record`, `mme.pairs`, `hallusion.sets`), and a score is a function of the records' sums.
  `paired` resamples the same records, so an interval is always that of the printed score.
"""
